"""Several command lines in one process: its flags would also be those of scripts that tests import, so it is another one."""

from __future__ import annotations

PARSE = """
from polyrl.flags import FLAGS

DEFAULTS = {}


def parse(*arguments):
    DEFAULTS.update({} if DEFAULTS else {name: FLAGS[name].default for name in FLAGS})
    FLAGS.unparse_flags()
    for name, value in DEFAULTS.items():  # Of the case before.
        FLAGS[name].unparse()
        FLAGS.set_default(name, value)
    return FLAGS(["polyrl", *arguments])
"""
"""The beginning of such a process's code: `parse` takes flags as if the process had just begun."""
