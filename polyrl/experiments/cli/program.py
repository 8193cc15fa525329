"""`run`: an experiment script as a program, with its messages and its exit status."""

from __future__ import annotations

import functools
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import tensorflow as tf
from absl import app
from absl import logging as absl_logging
from rich.console import Console
from rich.logging import RichHandler

from polyrl.errors import BrokenEnvironmentError, LostWorkerError, ModelDirInUseError, NonFiniteError
from polyrl.estimators import TrainingResult
from polyrl.estimators.model_errors import is_worded, users_lines
from polyrl.experiments import processes, seeds
from polyrl.experiments.comparing import print_comparison
from polyrl.flags import FLAGS, help_text
from polyrl.flags.existing import check_mode, check_run
from polyrl.flags.parsing import parse
from polyrl.flags.partners import check_given
from polyrl.flags.seeds import checked
from polyrl.paths import resolved

logger = logging.getLogger("polyrl")

TOLD = (ValueError, TypeError, KeyError, NonFiniteError, BrokenEnvironmentError, LostWorkerError, ModelDirInUseError)
"""Errors whose message says all, if polyrl or the program raised them."""


def _log_to_console() -> None:
    """Shows polyrl's messages, and of the libraries beneath it warnings only."""
    if not FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.WARNING)
    handler: logging.Handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(message)s", "%H:%M:%S"))
    if sys.stderr.isatty():
        handler = RichHandler(console=Console(stderr=True), show_path=False, show_level=False, log_time_format="[%X]")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [handler]
    told: set[str] = set()

    def show_warning(message: Warning | str, *where: Any, **given: Any) -> None:
        """Once, and without the line of a library that it comes from."""
        if str(message) not in told:
            told.add(str(message))
            logger.warning("%s", message)

    warnings.showwarning = cast(Any, show_warning)


def _without_an_experiment() -> Callable[[], None] | None:
    """What the flags ask for that is not the program's own experiment; None if nothing is."""
    if FLAGS.mode == "list":
        from polyrl.experiments.listing import print_lists  # It defines flags, which other programs may define too.

        return print_lists
    if FLAGS.mode == "compare":
        if FLAGS["model_dir"].present:
            where = f"--runs={FLAGS.model_dir}"
            raise ValueError(f"--model_dir has no effect with --mode=compare: directories of runs are {where}.")
        return functools.partial(print_comparison, FLAGS.runs)
    return _run_seeds if FLAGS.seeds else None


def _run_seeds() -> None:
    """What `--seeds` asks for, by starting this program again for each of them."""
    numbers = checked(FLAGS.seeds, FLAGS.mode, FLAGS["seed"].present)
    if FLAGS.model_dir is None:
        from polyrl.flags import command  # It defines flags, which other programs may define too.

        command.settle()  # Only the command polyrl has no directory of its own.
    model_dir = resolved("--model_dir", FLAGS.model_dir)
    check_mode(model_dir)
    seeds.run([sys.executable, *sys.orig_argv[1:]], numbers, model_dir, FLAGS.jobs)


def run(main: Callable[[Sequence[str]], Any], parsed: list[str] | None = None) -> None:
    """Parses the flags and runs `main`; errors that polyrl or the script raises are shown as one message.

    Those from inside of a `model_fn` have the user's lines above it. Those from inside of a library keep their traceback, and
    so do all with `--debug`.

    The exit status is 0, 1 after an error, or 128 plus the number of the signal that ended a training run; 130 after a second
    one, which does not wait for the environments. With `--help` it shows all flags instead, with `--help=WORD` those that
    have the word.

    Args:
        main: gets what is no flag: the program's name.
        parsed: what `polyrl.flags.parsing.parse` returned, if the flags are parsed already.
    """
    if help_text.show(sys.argv[1:], sys.modules["__main__"].__doc__ or "", (main.__module__ or "").partition(".")[0]):
        return

    def guarded(argv: Sequence[str]) -> None:
        _log_to_console()
        processes.end_with_starter()
        if FLAGS.debug:
            tf.debugging.disable_traceback_filtering()
        try:
            instead = _without_an_experiment()
            if instead is None and FLAGS.model_dir is not None:  # The command polyrl settles where it is, if it is not given.
                check_given({}, only=())  # Of those that the program has no use for.
                check_run(resolved("--model_dir", FLAGS.model_dir))
            result = main(argv) if instead is None else instead()
        except KeyboardInterrupt as error:
            if FLAGS.debug:
                raise
            print(*("Interrupted.", *getattr(error, "__notes__", ())), sep="\n", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        except Exception as error:
            lines = users_lines(error)
            if FLAGS.debug or not (lines or isinstance(error, OSError) or (isinstance(error, TOLD) and is_worded(error))):
                raise
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            message = "\n".join([str(message), *getattr(error, "__notes__", ())])
            print(f"{lines}{type(error).__name__}: {message}\n(--debug shows the traceback.)", file=sys.stderr)
            sys.exit(1)
        training = result[0] if isinstance(result, tuple) else result
        if isinstance(training, TrainingResult) and training.signal is not None:
            sys.exit(128 + training.signal)

    app.run(guarded, flags_parser=parse if parsed is None else lambda arguments: parsed)
