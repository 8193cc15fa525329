"""The command `polyrl`, which is also `python -m polyrl`: any model on any environment, with a preset or by flags.

`polyrl --env=LunarLander-v3 --model=c51` trains with evaluations, keeps the best weights, and evaluates those. The same
command again resumes the run. `--mode=list` shows what there is; `--mode=eval --model_dir=runs/mine` evaluates a run.

Defaults are shown as they are without a preset. If there is one for the pair of --env and --model, its settings replace them;
flags that are given replace both.
"""

from __future__ import annotations

import sys

import polyrl


def main() -> None:
    """Runs the command line; `--help`, and what is wrong with a flag, without TensorFlow, which takes seconds to import."""
    from polyrl.flags import command, help_text, parsing

    if sys.argv[1:] == ["--version"]:
        print(f"polyrl {polyrl.__version__}")
        return
    if help_text.show(sys.argv[1:], __doc__):
        return
    rest = parsing.parse(sys.argv, command.check_alone)
    sys.path.insert(0, "")  # As with `python -m`: an environment of one's own lies in the working directory.
    try:
        from polyrl.experiments import cli, family
    except KeyboardInterrupt:  # TensorFlow's import takes seconds; nothing has begun.
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)

    cli.run(lambda argv: family.run(), rest)


if __name__ == "__main__":
    main()
