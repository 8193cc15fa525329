"""The rows of the table: what each one runs, and against what."""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
import itertools

POLYRL, PEERS, TF_AGENTS, BASELINE = "polyrl", "peers", "tf_agents", "baseline"
"""Which Python runs a worker: this one, `--peers_python`, `--tf_agents_python`, or this one with `--baseline`'s polyrl."""


@dataclasses.dataclass(frozen=True)
class Worker:
    """A process that measures: a script of this directory and its arguments, run by one of the Pythons."""

    title: str
    python: str
    script: str
    arguments: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Peer:
    """What polyrl is compared with; `target` is how many times better polyrl is to be, if that is settled."""

    worker: Worker
    target: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A measurement of polyrl, the same of its peers, and what is aimed at.

    Attributes:
        name: what `--rows` calls it.
        worker: polyrl's.
        peers: whom it is compared with.
        unit: of the figure; more is better in `'steps/s'` only.
        limit: what polyrl's figure must not exceed.
        group: another name for it and others in `--rows`.
        by_default: whether it runs unasked.
    """

    name: str
    worker: Worker
    peers: tuple[Peer, ...] = ()
    unit: str = "steps/s"
    limit: float | None = None
    group: str = ""
    by_default: bool = True

    @property
    def more_is_better(self) -> bool:
        """Whether a larger figure is the better one."""
        return self.unit == "steps/s"


def _polyrl(setting: str, *arguments: str, title: str = "polyrl") -> Worker:
    return Worker(title, POLYRL, "polyrl_worker.py", (setting, *arguments))


def _sb3(setting: str = "cartpole_dqn", *arguments: str) -> Worker:
    return Worker("SB3", PEERS, "peers/sb3_worker.py", (setting, *arguments))


def _sbx(setting: str) -> Worker:
    return Worker("sbx", PEERS, "peers/sb3_worker.py", (setting, "--sbx"))


def _tf_agents(setting: str, *arguments: str) -> Worker:
    return Worker("TF-Agents", TF_AGENTS, "peers/tf_agents_worker.py", (setting, *arguments))


def _jax(setting: str) -> Worker:
    return Worker("JAX", PEERS, "peers/jax_worker.py", (setting,))


def _jax_steps(setting: str) -> Worker:
    return Worker("JAX, step by step", PEERS, "peers/jax_steps_worker.py", (setting,))


def _by_hand(setting: str) -> Peer:
    return Peer(Worker("TensorFlow by hand", POLYRL, "by_hand_worker.py", (setting,)))


def _training(setting: str, *peers: Peer) -> Row:
    return Row(setting, _polyrl(setting), peers)


def _overlap(setting: str) -> Row:
    # On all cores: on one there is nothing to gain.
    alternating = Peer(_polyrl(setting, title="in turn"), 1)
    return Row(f"{setting}_overlap", _polyrl(setting, "--overlap"), (alternating,), group="overlap", by_default=False)


def _summaries(name: str, setting: str) -> Row:
    # Long enough for some of each: they are put off until those before take no more than their share of the time.
    long = ("--warm_up=20000", "--seconds=20")
    without = Peer(_polyrl(setting, *long, title="without"), 0.95)
    return Row(name, _polyrl(setting, *long, "--housekeeping"), (without,), group="summaries")


ROWS = (
    _training("cartpole_dqn", Peer(_sb3(), 5.5), Peer(_tf_agents("cartpole_dqn"), 10), _by_hand("cartpole_dqn")),
    _training(
        "cartpole_dqn_8envs",
        Peer(_sbx("cartpole_dqn_8envs"), 3),
        Peer(_sb3("cartpole_dqn_8envs")),
        _by_hand("cartpole_dqn_8envs"),
    ),
    _training("cartpole_c51", Peer(_tf_agents("cartpole_c51"), 8), _by_hand("cartpole_c51")),
    # Networks of CleanRL's sizes, beside a script in its way.
    _training("cartpole_dqn_120x84", Peer(_jax_steps("cartpole_dqn_120x84"), 2), _by_hand("cartpole_dqn_120x84")),
    _training("cartpole_c51_120x84", Peer(_jax_steps("cartpole_c51_120x84"), 2), _by_hand("cartpole_c51_120x84")),
    # With environments in the graph: beside a script whose whole loop is compiled, and the ordinary way of training.
    _training("cartpole_compiled", Peer(_jax("cartpole_compiled"), 1.3), _by_hand("cartpole_compiled"), Peer(_sb3(), 23)),
    _training(
        "cartpole_compiled_120x84",
        Peer(_jax("cartpole_compiled_120x84"), 1.3),
        _by_hand("cartpole_compiled_120x84"),
        Peer(_sb3(), 15),
    ),
    _training(
        "cartpole_compiled_128envs",
        Peer(_jax("cartpole_compiled_128envs"), 1.3),
        _by_hand("cartpole_compiled_128envs"),
        Peer(_sb3(), 230),
    ),
    # An end costs no more than half a step where it is two thirds as fast.
    Row("episode_ends", _polyrl("one_step_episodes"), (Peer(_polyrl("endless", title="without ends"), 0.667),)),
    _training("minatar", Peer(_sb3("minatar"), 5)),
    _training("pong", Peer(_sb3("pong"), 2.2)),
    # On a processor with instructions for it.
    Row(
        "pong_bfloat16",
        _polyrl("pong_bfloat16"),
        (Peer(_polyrl("pong", title="in float32")), Peer(_sb3("pong"), 2.2)),
        by_default=False,
    ),
    Row(
        "prioritized",
        Worker("polyrl", POLYRL, "memories.py", ("--worker=prioritized",)),
        (Peer(Worker("cpprb", PEERS, "peers/cpprb_worker.py"), 1),),
        unit="us/step",
    ),
    # A frame of 84 x 84 bytes, a million of them, and a twentieth for all the rest.
    Row("replay_memory", Worker("polyrl", POLYRL, "polyrl_replay_memory.py"), unit="GB", limit=1.05 * 7.06, by_default=False),
    Row(
        "startup",
        _polyrl("cartpole_dqn", "--startup"),
        (Peer(_sb3("cartpole_dqn", "--startup")), Peer(_tf_agents("cartpole_dqn", "--startup"))),
        unit="s",
        limit=3.5,
    ),
    *(_overlap(setting) for setting in ("cartpole_dqn", "cartpole_dqn_8envs", "minatar", "pong", "simulator")),
    _summaries("summaries_dqn", "cartpole_dqn"),
    _summaries("summaries_compiled", "cartpole_compiled"),
)


def against(row: Row) -> Row:
    """The row with the polyrl of `--baseline` as a peer."""
    if row.worker.python != POLYRL:
        return row
    before = Peer(dataclasses.replace(row.worker, title="polyrl before", python=BASELINE))
    return dataclasses.replace(row, peers=(before, *row.peers))


def select(names: Iterable[str]) -> list[Row]:
    """The rows of these names or groups, in the order of the table; without names those that run by default, `all` is all.

    Raises:
        ValueError: for a name that no row has; the message lists them all.
    """
    wanted = set(names)
    if wanted == {"all"}:
        return list(ROWS)
    known = set(itertools.chain.from_iterable((row.name, row.group) for row in ROWS)) - {""}
    if wanted - known:
        raise ValueError(f"unknown rows {sorted(wanted - known)}; there are {sorted(known)}.")
    return [row for row in ROWS if ({row.name, row.group} & wanted if wanted else row.by_default)]
