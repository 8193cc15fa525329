"""Whether a model can be evaluated on an environment that is not the one it is trained on, before it has been trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium
from gymnasium.spaces import Dict, Discrete

from polyrl.envs import open_env
from polyrl.envs.described import described
from polyrl.envs.gym import EnvLike
from polyrl.envs.observations import MASK
from polyrl.errors import add_note
from polyrl.estimators.loops.loop import Spaces


def check_evaluated_on(envs: Iterable[EnvLike], trained_on: Spaces) -> None:
    """Refuses environments that cannot be made, or whose states or actions have another form than those of the training.

    Args:
        envs: what hooks evaluate on.
        trained_on: the spaces of the environment that the model learns in.

    Raises:
        ValueError: shows both forms. What the environment itself raises is raised as it is, with a note.
    """
    wanted = _form(trained_on)
    for env in envs:
        try:
            with open_env(env, num_envs=1, purpose="evaluation") as vector:
                found = _form((vector.single_observation_space, vector.single_action_space))
        except Exception as error:
            add_note(error, "It is the environment that a hook is to evaluate on.")
            raise
        if found != wanted:
            raise ValueError(
                f"A hook is to evaluate on {described(env)}, where {_words(found)}; in training {_words(wanted)}. Evaluate "
                "on an environment with the same."
            )


def _form(spaces: Spaces) -> tuple[Any, Any]:
    """What has to be alike. A mask may come in the observation or beside it."""
    observation, action = spaces
    parts = dict(observation.spaces) if isinstance(observation, Dict) else {"state": observation}
    return {key: _size(part) for key, part in sorted(parts.items()) if key != MASK}, _size(action)


def _size(space: gymnasium.Space[Any]) -> Any:
    return int(space.n) if isinstance(space, Discrete) else space.shape


def _words(form: tuple[Any, Any]) -> str:
    states, actions = form
    shown = states["state"] if [*states] == ["state"] else states
    of_states = f"there are {shown} discrete states" if isinstance(shown, int) else f"states have the shape {shown}"
    if isinstance(shown, dict):
        of_states = f"states have the parts {shown}"
    return f"{of_states} and there are {actions} actions" if isinstance(actions, int) else f"{of_states}, actions {actions}"
