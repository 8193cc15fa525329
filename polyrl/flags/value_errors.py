"""What absl says of a value that a flag does not take, in words for who typed it."""

from __future__ import annotations

import re

NO_INTEGER = re.compile(r"invalid literal for int\(\) with base \d+: '(.*)'$")
NO_NUMBER = re.compile(r"could not convert string to float: .*$")


def in_words(message: str) -> str:
    """The message, with what is expected in place of what Python says of the conversion."""
    value = NO_INTEGER.search(message)
    if value is not None:
        return f"{message[: value.start()]}expected an integer{_as_integer(value[1])}"
    return NO_NUMBER.sub("expected a number", message)


def _as_integer(text: str) -> str:
    """How an integer that is written as a float is written as an integer; nothing for what is none."""
    try:
        number = float(text)
        return f", as {int(number)}" if number == int(number) else ""
    except (ValueError, OverflowError):
        return ""
