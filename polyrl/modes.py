"""The three modes in which a `model_fn` is called."""

from __future__ import annotations

from typing import Final


class Modes:
    """What a model is built for: `'train'`, `'eval'` or `'infer'`."""

    TRAIN: Final = "train"
    EVAL: Final = "eval"
    PREDICT: Final = "infer"

    ALL: Final = (TRAIN, EVAL, PREDICT)

    @classmethod
    def validate(cls, mode: str) -> str:
        """Returns `mode`, or raises a ValueError that lists the known modes."""
        if not isinstance(mode, str) or mode not in cls.ALL:
            raise ValueError(f"mode={mode!r} is unknown; use one of {', '.join(map(repr, cls.ALL))}.")
        return mode

    @classmethod
    def is_train(cls, mode: str) -> bool:
        """Whether it learns."""
        return mode == cls.TRAIN

    @classmethod
    def is_eval(cls, mode: str) -> bool:
        """Whether it is evaluated: greedy, with a loss."""
        return mode == cls.EVAL

    @classmethod
    def is_infer(cls, mode: str) -> bool:
        """Whether it predicts, without a loss."""
        return mode == cls.PREDICT
