"""Random numbers in an update that a resumed run would not draw again."""

from __future__ import annotations

from typing import Any, Final

STATEFUL_DRAWS: Final = {
    *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "ParameterizedTruncatedNormal"),
    *("Multinomial", "RandomShuffle", "RandomGamma", "RandomPoissonV2"),
}
"""TensorFlow's operations that draw from a state of their own, which no checkpoint holds."""


def stateful_draws(definition: Any) -> tuple[str, ...]:
    """The `STATEFUL_DRAWS` in a graph and its functions, sorted."""
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return tuple(sorted({node.op for node in nodes} & STATEFUL_DRAWS))
