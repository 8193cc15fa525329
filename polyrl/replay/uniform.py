"""`UniformReplay`: every stored transition is equally likely to be sampled."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.replay.base import HINTS, Replay
from polyrl.validation import check_float, explains

DEMO_SHARE = 0.25


@explains(HINTS)
class UniformReplay(Replay):
    """Keeps the newest transitions and samples them uniformly, with replacement (Lin 1992).

    Args:
        size: capacity, in transitions.
        batch_size: number of transitions in a batch.
        n_step: number of steps in an n-step transition, see `Replay`.
        frame_stack: number of frames that a state stacks, see `Replay`.
        demonstrations: episodes that are kept permanently, see `Replay`.
        demo_share: share of demonstrations in each batch, in [0, 1]: `round(demo_share * batch_size)` rows.
    """

    FURTHER_ARGUMENTS: ClassVar[tuple[str, ...]] = ("demo_share",)

    def __init__(
        self,
        size: int = 50_000,
        batch_size: int = 64,
        *,
        n_step: int = 1,
        frame_stack: int | None = None,
        demonstrations: Demonstrations | None = None,
        demo_share: float = DEMO_SHARE,
    ):
        super().__init__(size, batch_size, n_step=n_step, frame_stack=frame_stack, demonstrations=demonstrations)
        self.demo_share = check_float("demo_share", demo_share, 0.0, 1.0)
        if demonstrations is None:
            if self.demo_share != DEMO_SHARE:
                raise ValueError(f"demo_share={demo_share} has no effect without demonstrations; give some, or leave it out.")
            return
        self._demo_rows = round(self.demo_share * self.batch_size)
        if self._demo_rows == 0 and self.demo_share > 0.0:
            raise ValueError(
                f"demo_share={demo_share} of batch_size={batch_size} is less than half a row; make one of them larger, or use "
                "demo_share=0 to sample demonstrations in pre-training only."
            )

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        return {"index": tf.cast(self.storage.draw(seed, self.batch_size), tf.int32)}
