"""The names accepted by a model's `summaries` argument."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import tensorflow as tf

from polyrl.validation import suggestion


class SummaryOptions:
    """Groups of TensorBoard panels. `'all'` means every group except `image_input`, which needs image states."""

    ACTIVATIONS: Final = "activations"
    LOSS: Final = "loss"
    LEARNING_RATE: Final = "learning_rate"
    VARIABLES: Final = "variables"
    GRADIENTS: Final = "gradients"
    EXPLORATION: Final = "exploration"
    REWARD: Final = "reward"
    IMAGE_INPUT: Final = "image_input"

    DEFAULT: Final = (ACTIVATIONS, LOSS, LEARNING_RATE, VARIABLES, GRADIENTS, EXPLORATION, REWARD)
    ALL: Final = (*DEFAULT, IMAGE_INPUT)

    @classmethod
    def validate(cls, summaries: str | Iterable[str] | None, name: str = "summaries") -> tuple[str, ...]:
        """Converts `'all'`, one name or a list of names (None or empty: no panels) to a tuple of names.

        Args:
            summaries: what is given.
            name: of the argument, for messages.

        Raises:
            TypeError: for what is neither a name nor a list.
            ValueError: for an unknown name; the message lists the known ones.
        """
        if not (summaries is None or isinstance(summaries, Iterable)) or isinstance(summaries, (bytes, tf.Tensor)):
            raise TypeError(f"{name}={summaries!r} must be 'all', a name, or a list of some of {', '.join(cls.ALL)}.")
        if isinstance(summaries, np.ndarray):
            summaries = np.atleast_1d(summaries).tolist()
        names = (summaries,) if isinstance(summaries, str) else tuple(() if summaries is None else summaries)
        if names == ("all",):
            return cls.DEFAULT
        for group in names:
            if not isinstance(group, str) or group not in cls.ALL:
                raise ValueError(
                    f"{name}={summaries!r}: {group!r} is unknown; use 'all' or some of {', '.join(cls.ALL)}."
                    f"{suggestion(str(group), cls.ALL)}"
                )
        return tuple(group for group in cls.ALL if group in names)
