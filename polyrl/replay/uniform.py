"""`UniformReplay`: every stored transition is as likely to be sampled as any other."""

from __future__ import annotations

from polyrl.replay.base import Replay

import tensorflow as tf


class UniformReplay(Replay):
    """Keeps the newest transitions and samples them uniformly, with replacement (Lin 1992). See `Replay` for the arguments."""

    def sample(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        return self._storage.gather(self._storage.draw(seed, self.batch_size))
