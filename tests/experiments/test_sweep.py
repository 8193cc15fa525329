"""Sweeps: what is searched, what is told and pruned, that an interrupted search goes on, and what TensorBoard shows."""

from __future__ import annotations

import ast
import itertools
import sys
from pathlib import Path

import optuna
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from polyrl.estimators.hooks.panels import trial_id
from polyrl.experiments import sweep
from polyrl.experiments.search_space import as_flags, search_space
from polyrl.experiments.sweep import Sweep

PROGRAM = """
import pathlib, signal, sys, time
flags = [argument.lstrip("-").split("=", 1) for argument in sys.argv[1:]]
values = {flag[0]: flag[-1] for flag in flags}
run = pathlib.Path(values["model_dir"])
run.mkdir(parents=True, exist_ok=True)
(run / "flags").write_text(repr(sys.argv[1:]))
if "fails" in values:
    sys.exit("ValueError: as it was told")
rate = float(values["learning_rate"])
slow = values.get("slow")
rows = ["global_step,global_timestep,mean_reward"]
for step in range(100, 500, 100) if "brief" not in values else ():
    rows.append(f"{step - 10},{step},{rate * step}")
    (run / "evaluations.csv").write_text("\\n".join(rows) + "\\n")
    time.sleep(0.02 if slow is None else float(slow))
(run / "eval").mkdir(exist_ok=True)
(run / "eval" / "evaluations.csv").write_text(f"global_timestep,mean_reward\\n400,{1000 * rate}\\n")
"""


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    """Runs that report `learning_rate` times 100, 200, ..., and come to 1,000 times the same at their end."""
    monkeypatch.setattr(sweep, "PROGRAM", (sys.executable, "-c", PROGRAM))
    monkeypatch.setattr(sweep, "PATIENCE", 0.05)


def values_of(trials, name="learning_rate"):
    return [trial[name] for trial in trials]


@pytest.mark.slow
def test_a_trial_without_an_evaluation_on_the_way_has_its_steps_all_the_same(tmp_path):
    """The table said 0."""
    made = Sweep(tmp_path, ["learning_rate=0.1,0.2"], ["--brief"], startup=9, score="final")
    made.run(2, 1)
    assert values_of(made.results(), "steps") == [400, 400]


# What is searched. ------------------------------------------------------------------------------------------------------


def test_ranges_choices_and_fields_are_read():
    entries = ["learning_rate=1e-4..1e-2:log", "exploration_final=0..1", "batch_size=16..256:log", "n_step=1,3,5"]
    space = search_space([*entries, "dueling=none,mean", "optimizer.beta_1=0.8..0.99", "optimizer=adam,rmsprop"])
    kinds = optuna.distributions
    assert space == {
        "learning_rate": kinds.FloatDistribution(1e-4, 1e-2, log=True),
        "exploration_final": kinds.FloatDistribution(0.0, 1.0),  # The flag is a float, whatever the ends look like.
        "batch_size": kinds.IntDistribution(16, 256, log=True),
        "n_step": kinds.CategoricalDistribution([1, 3, 5]),
        "dueling": kinds.CategoricalDistribution(["none", "mean"]),
        "optimizer.beta_1": kinds.FloatDistribution(0.8, 0.99),
        "optimizer": kinds.CategoricalDistribution(["adam", "rmsprop"]),
    }
    assert as_flags({"n_step": 3, "optimizer.beta_1": 0.9}) == ["--n_step=3", "--set=optimizer.beta_1=0.9"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("learning_rate", "expected NAME=LOW..HIGH"),
        ("learning_rat=1..2", "'learning_rat' is no flag that a run has.*Did you mean 'learning_rate'"),
        ("model_dir=a,b", "'model_dir' is no flag that a run has"),
        ("learning_rate=0.1..0.01", "the smaller one first"),
        ("learning_rate=low..0.01", "expected two numbers"),
        ("learning_rate=0..0.1:log", "numbers above 0"),
        ("n_step=3", "nothing to choose"),
        ("learning_rate=1e-4:1e-2", "nothing to choose; .*, or LOW..HIGH, with :log for a logarithmic scale"),
        ("n_step=3,3", "nothing to choose"),
        ("n_step=0..5", "--n_step=0: .*at least 1|--n_step=0: .*positive"),
        ("dueling=mean,best", "--dueling=best: "),
        ("n_step=1..3:lg", "expected LOW..HIGH, with :log"),
        ("optimizer.beta1=0.8..0.9", "no optimizer has a field 'beta1'. Did you mean 'beta_1'"),
        ("exploration.x=0.8..0.9", "no exploration has a field 'x'. They have "),
        ("optimizer=adam,rmsprob", "'rmsprob' is no optimizer. Did you mean 'rmsprop'"),
        ("batch_size=16,32.5", "is there twice|--batch_size=32.5: "),
    ],
)
def test_what_cannot_be_searched_is_refused(entry, message):
    with pytest.raises(ValueError, match=message):
        search_space(["batch_size=16,32", entry])
    with pytest.raises(ValueError, match="batch_size is there twice"):
        search_space(["batch_size=16,32", "batch_size=16,64"])


def test_without_optuna_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"'optuna'.*pip install 'polyrl\[tune\]'"):
        Sweep(tmp_path, ["n_step=1,3"], [])


# Trials. ----------------------------------------------------------------------------------------------------------------

RATES = "learning_rate=0.001..1.0:log"


@pytest.mark.slow
def test_each_trial_is_a_run_with_its_values_and_the_best_is_first(tmp_path):
    made = Sweep(tmp_path, [RATES, "optimizer.beta_1=0.8,0.9"], ["--config=some"], startup=9)
    made.run(4, 2)
    results = made.results()
    assert sorted(values_of(results, "trial")) == [0, 1, 2, 3]
    assert values_of(results, "state") == 4 * ["complete"]
    for result in results:
        assert result["score"] == pytest.approx(1000 * result["learning_rate"])
        assert result["steps"] == 400
        run = tmp_path / result["model_dir"]
        assert ast.literal_eval((run / "flags").read_text()) == [
            *("--mode=train_and_eval", "--noprogress", "--config=some", f"--learning_rate={result['learning_rate']}"),
            *(f"--set=optimizer.beta_1={result['optimizer.beta_1']}", f"--model_dir={run}"),
        ]
    assert values_of(results, "score") == sorted(values_of(results, "score"), reverse=True)


def test_the_score_may_be_the_mean_of_the_evaluations(tmp_path):
    made = Sweep(tmp_path, [RATES], [], score="mean")
    made.run(1, 1)
    (result,) = made.results()
    assert result["score"] == pytest.approx(250 * result["learning_rate"])


@pytest.mark.slow
def test_what_is_worse_than_the_median_is_ended(tmp_path):
    made = Sweep(tmp_path, [RATES], ["--slow=0.2"], startup=3)
    for rate in (0.1, 0.2, 0.3, 0.15, 0.25):
        made._study.enqueue_trial({"learning_rate": rate})
    made.run(5, 1)
    assert [(result["learning_rate"], result["state"]) for result in made.results()] == [
        *((0.3, "complete"), (0.25, "complete"), (0.2, "complete"), (0.1, "complete")),
        (0.15, "pruned"),
    ]
    pruned = made.results()[-1]
    assert pruned["score"] == pytest.approx(0.15 * pruned["steps"])
    assert pruned["steps"] < 400
    assert not (tmp_path / pruned["model_dir"] / "eval").exists()


@pytest.mark.slow
def test_the_same_command_continues_with_other_values(tmp_path):
    Sweep(tmp_path, [RATES], []).run(2, 2)
    again = Sweep(tmp_path, [RATES], [])
    again.run(2, 2)
    assert len(again.results()) == 2
    again.run(4, 1)
    rates = values_of(again.results())
    assert all(first != pytest.approx(second) for first, second in itertools.combinations(rates, 2))
    with pytest.raises(ValueError, match="holds another search"):
        Sweep(tmp_path, [RATES], ["--n_step=3"])


@pytest.mark.slow
def test_a_trial_that_was_killed_with_the_search_is_continued_in_its_place(tmp_path):
    first = Sweep(tmp_path, [RATES], [])
    killed = first._study.ask(first._searched)
    again = Sweep(tmp_path, [RATES], [])
    again.run(2, 1)
    results = {result["model_dir"]: result for result in again.results()}
    assert set(results) == {"trial-0000/run", "trial-0002/run"}  # The number 1 continued 0.
    assert results["trial-0000/run"]["learning_rate"] == killed.params["learning_rate"]
    assert values_of(results.values(), "state") == 2 * ["complete"]


def test_a_trial_that_fails_is_told_and_the_first_three_end_the_search(tmp_path):
    made = Sweep(tmp_path, [RATES], ["--fails"])
    with pytest.raises(RuntimeError, match=r"first 3 trials failed.*exit status 1: ValueError: as it was told"):
        made.run(5, 1)
    assert {result["state"] for result in made.results()} == {"fail"}
    assert all(result["error"] == "exit status 1: ValueError: as it was told" for result in made.results())


def test_tensorboard_has_the_columns_and_a_line_of_each_trial(tmp_path):
    Sweep(tmp_path, [RATES, "n_step=1,3", "dueling=none,mean"], []).run(1, 1)

    def content(directory: Path, tag: str) -> bytes:
        events = EventAccumulator(str(directory))
        events.Reload()
        return events.SummaryMetadata(tag).plugin_data.content

    experiment = metadata.parse_experiment_plugin_data(content(tmp_path, metadata.EXPERIMENT_TAG))
    assert [info.name for info in experiment.hparam_infos] == ["learning_rate", "n_step", "dueling"]
    assert experiment.hparam_infos[0].domain_interval.max_value == 1.0
    assert [(info.name.group, info.name.tag) for info in experiment.metric_infos] == [
        ("", "sweep/score"),
        ("run", "eval/mean_reward"),
    ]
    trial = tmp_path / "trial-0000"
    start = metadata.parse_session_start_info_plugin_data(content(trial, metadata.SESSION_START_INFO_TAG))
    assert set(start.hparams) == {"learning_rate", "n_step", "dueling"}
    assert start.group_name == trial_id(trial / "run")  # That of the run itself.
