"""`check_environment`: gymnasium's own check of an environment, on an instance that is thrown away."""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import env_checker

from polyrl.envs.contract import VERSION, Contract, old_reset, short
from polyrl.envs.examined import Examined
from polyrl.envs.gym import GymEnvironment
from polyrl.envs.observations import MASK, check_observation_space
from polyrl.envs.states import read_values, write_values
from polyrl.envs.whole_states import get_whole_state, is_whole, set_whole_state

logger = logging.getLogger("polyrl")

OTHER_MASKS = "action_masks"
"""The method by which other libraries ask an environment for its mask."""

SEEDED = (
    "Its random numbers have to come from self.np_random, which super().reset(seed=seed) seeds, not from np.random or random."
)

_CHECKS = {"env_checker.py", "passive_env_checker.py"}

STEPS_BEFORE, STEPS_AFTER = 5, 50
"""Steps before the save and after it, in the check of an environment that can be saved in mid-episode."""

_WAY_OUT = (
    "Mend it; or, if it is as it should be, skip this check with RunConfig(check_env=False), on the command line "
    "--check_env=false."
)


def check_environment(env: Any) -> None:
    """Runs `gymnasium.utils.env_checker.check_env` on a new instance: reset and step return what they should, fit the spaces,
    and repeat for the same seed. One that can be saved in mid-episode, see `polyrl.envs.whole_states`, must also come back.

    Only what makes new instances can be checked so: an id, an `EnvSpec`, a `GymEnvironment`. Anything else is left alone.
    Rendering and what `info` holds are not checked; an episode may be truncated at its first step; and where there is an
    action mask, an illegal action of the check is replaced by a legal one.

    Raises:
        TypeError, ValueError: for what its `Contract` refuses.
        ValueError: if the check fails; names the environment and what it found. Errors of the environment itself are raised as
            they are.
    """
    if isinstance(env, (str, EnvSpec)):
        env = GymEnvironment(env)
    if not isinstance(env, GymEnvironment):
        return
    with contextlib.closing(Examined(env.make())) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Advice about bounds and rendering.
        if instance.missing:
            raise ValueError(f"{instance}: its reset {old_reset(instance.missing)}. {_WAY_OUT}")
        check_observation_space(instance.observation_space, int(getattr(instance.action_space, "n", 0)))
        contract = Contract(instance, 0)  # Its words come first, as they say more.
        contract.reset(seed=123)
        if callable(getattr(instance.unwrapped, OTHER_MASKS, None)) and not instance.masks:
            logger.warning(
                "%s has a method %s, which nothing here calls: illegal actions will be taken. Give the mask as "
                "info['action_mask'] at each reset and step, or as a part of a Dict observation.",
                instance,
                OTHER_MASKS,
            )
        if instance.likely_masks and not instance.masks:
            logger.warning(
                "%s has %s with a value for each action, which nothing here reads: if these say which actions are legal, the "
                "key is '%s'.",
                instance,
                instance.likely_masks[0],
                MASK,
            )
        contract.step(instance.action_space.sample())
        try:
            env_checker.check_env(instance, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            if Path(traceback.extract_tb(error.__traceback__)[-1].filename).name not in _CHECKS:
                raise
            raise ValueError(
                f"{instance} does not pass the check_env of gymnasium {VERSION}: {_gist(error)}{instance.outside()} {_WAY_OUT}"
            ) from error
        if instance.strayed:
            logger.warning(
                "%s: its step returned an observation outside of its observation_space.%s Mend the space or the observation; "
                "what goes by the bounds of the space, as a wrapper that scales, works with wrong ones.",
                instance,
                instance.strayed,
            )
        if instance.spec is None:
            _check_resets_repeat(instance)
    if is_whole(instance.env):
        with contextlib.closing(Examined(env.make())) as first, contextlib.closing(Examined(env.make())) as second:
            _check_comes_back(first, second)


def _check_resets_repeat(instance: Examined) -> None:
    """Refuses episodes that do not begin alike for the same seed; gymnasium asks that of registered ids alone."""
    first, again = ([copy.deepcopy(instance.reset(seed=seed)[0]) for seed in (123, None)] for _ in range(2))
    for how, one, other in zip(("reset(seed=123)", "reset(seed=123) and then reset()"), first, again, strict=True):
        if not env_checker.data_equivalence(one, other):
            raise ValueError(
                f"{instance} began differently with the same seed: {how} gave {short(one)}, and then {short(other)}. {SEEDED} "
                f"What it keeps from one episode to the next must not count after a seed. {_WAY_OUT}"
            )


def _check_comes_back(first: Examined, second: Examined) -> None:
    """Refuses an environment that says it can be saved in mid-episode, but behaves differently after being restored."""
    first.action_space.seed(123)
    actions = [first.action_space.sample() for _ in range(STEPS_BEFORE + STEPS_AFTER)]
    first.reset(seed=123)
    for action in actions[:STEPS_BEFORE]:
        first.play(action)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "state.npz"
        write_values(file, get_whole_state(first.env))
        second.reset(seed=321)
        set_whole_state(second.env, read_values(file))
    second.follow(first)
    for number, action in enumerate(actions[STEPS_BEFORE:], start=1):
        results = first.play(action), second.play(action)
        if not env_checker.data_equivalence(*results, exact=True):
            raise ValueError(
                f"{first} says that it can be saved in mid-episode (checkpoint_state_is_whole), but does not come back as it "
                f"was: {number} steps later, observation, reward and end were {short(results[0])}, and in the copy that was "
                f"brought back {short(results[1])}. Have get_checkpoint_state give all that its future depends on. {_WAY_OUT}"
            )


def _gist(error: Exception) -> str:
    """The message of an error on one line, with a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if text.endswith((".", "!", "?")) else f"{text}."
    return f"{text} {SEEDED}" if "same seed" in text or "non-deterministic" in text or "although similar" in text else text
