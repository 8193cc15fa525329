"""Whether the directory of `--model_dir` holds what `--mode` needs: known from names of files, before anything is begun."""

from __future__ import annotations

import os
from pathlib import Path

from absl import flags

from polyrl.errors import NotTrainedError
from polyrl.flags.partners import check_given
from polyrl.flags.run import TRAINING_MODES
from polyrl.paths import nearest, resolved, runs_in, trained_with, without_checkpoints

FLAGS = flags.FLAGS

OF_A_RUN = ("eval", "infer", "record", "export", "serve")
"""The modes that need a checkpoint. `continuous_eval` waits for one."""


def check_mode(model_dir: Path) -> None:
    """Refuses flags that have no effect in the mode, and a mode for which `--model_dir` holds no checkpoint.

    Raises:
        ValueError: for such flags, a line for each; for a `--checkpoint` of the run of another environment or model.
        NotTrainedError: if a run, or with `--seeds` one of the runs, has none; with the nearest name of a run beside it.
    """
    check_given({}, only=("mode",))
    check_run(model_dir)
    _check_checkpoint(model_dir)


def check_run(model_dir: Path) -> None:
    """Refuses a mode for which `--model_dir` holds no checkpoint.

    Raises:
        NotTrainedError: if a run, or with `--seeds` one of the runs, has none; with the nearest name of a run beside it.
    """
    for directory in [directory_of_seed(model_dir, seed) for seed in FLAGS.seeds] if FLAGS.seeds else [model_dir]:
        if FLAGS.mode in OF_A_RUN and not (holds_a_run(directory) or _is_elsewhere(directory)):
            raise NotTrainedError(f"There is no checkpoint in model_dir={str(directory)!r}. {_what_to_do(directory)}")


def _check_checkpoint(model_dir: Path) -> None:
    if FLAGS.checkpoint is None or os.sep not in FLAGS.checkpoint:
        return
    owner = resolved("--checkpoint", FLAGS.checkpoint).parent.parent
    own, other = trained_with(model_dir), trained_with(owner)
    differ = [name for name in ("env", "model") if name in own and own[name] != other.get(name, own[name])]
    if differ:
        found = "; ".join(f"{name}={other[name]} there, {own[name]} here" for name in differ)
        raise ValueError(
            f"--checkpoint={FLAGS.checkpoint} is of another run than --model_dir={model_dir}: {found}. Give its own "
            f"directory, --model_dir={owner}."
        )


def check_warm_start(model_dir: Path) -> None:
    """Refuses a `--warm_start_from` without a checkpoint, unless the run in `model_dir` is resumed, which does not read it.

    Raises:
        NotTrainedError: with the nearest name of a run beside it.
    """
    if FLAGS.warm_start_from is None or FLAGS.mode not in TRAINING_MODES or (holds_a_run(model_dir) and not FLAGS.overwrite):
        return
    source = resolved("--warm_start_from", FLAGS.warm_start_from)
    if not source.exists():
        near = nearest(source, filter(holds_a_run, source.parent.glob("*")))
        raise NotTrainedError(f"--warm_start_from={FLAGS.warm_start_from}: there is no such directory.{near}")
    if not holds_a_run(source) and not (source / "state.json").exists():
        raise NotTrainedError(
            f"--warm_start_from={FLAGS.warm_start_from}: there is no checkpoint in it. {_what_to_do(source)}"
        )


def directory_of_seed(model_dir: Path, seed: int | str) -> Path:
    """The directory of one of the runs of `--seeds`."""
    return model_dir / f"seed-{int(seed)}"


def holds_a_run(directory: Path) -> bool:
    """Whether there is a checkpoint, whole or damaged."""
    return any(directory.glob("checkpoints/ckpt-*")) or any(directory.glob("best/ckpt-*"))


def _what_to_do(directory: Path) -> str:
    """The run that a directory is a part of, the runs in it, or the one beside it that has the most similar name."""
    for above in directory.parents[:2]:
        if holds_a_run(above) and directory.exists():
            return f"It is a part of the run in {above}: --model_dir={above}, and --checkpoint= for one of its checkpoints."
    if runs_in(directory):
        return without_checkpoints(directory)
    return f"{without_checkpoints(directory)}{nearest(directory, filter(holds_a_run, directory.parent.glob('*')))}"


def _is_elsewhere(directory: Path) -> bool:
    """Whether what the mode needs is a checkpoint that a path names, or an export that is there already."""
    if FLAGS.checkpoint is not None and os.sep in FLAGS.checkpoint:
        return True
    return FLAGS.mode == "serve" and any((directory / "export" / FLAGS.model_name).glob("[0-9]*"))
