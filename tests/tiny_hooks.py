"""A hook that records a run, for tests."""

from __future__ import annotations

from polyrl.estimators.hooks import Hook


class Recorder(Hook):
    """Writes down each phase it is called in, and the counters at that time."""

    def __init__(self, log=None, name=""):
        self.log = [] if log is None else log
        self._name = name

    def _note(self, phase, run, *more):
        self.log.append((f"{self._name}{phase}", run.timestep, run.step, run.episode, *more))

    def begin(self, run):
        self._note("begin", run)

    def after_update(self, run):
        self._note("after_update", run)

    def after_episode(self, run, episode):
        self._note("after_episode", run, episode.length)

    def after_act(self, run):
        self._note("after_act", run)

    def after_checkpoint(self, run, path):
        assert (path / "state.json").is_file()
        self._note("after_checkpoint", run, path.name)

    def end(self, run):
        self._note("end", run)

    def close(self):
        self.log.append((f"{self._name}close",))
