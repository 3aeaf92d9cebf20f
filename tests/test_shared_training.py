"""Tasks that train on the same problems, as MBPP and HumanEval: one training serves the tests on all of them."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import report, run
from bench.conduct import conduct
from bench.experiment import RunSpec, merged
from bench.launch.announce import before_sweep
from bench.launch.catalogue import compose_spec
from bench.launch.forecast import Forecast
from bench.reporting.completeness import completeness
from bench.reporting.index import read_index, trainings
from bench.runs.finished import find_runs, load_episodes
from bench.runs.folder import Run, RunKey
from bench.runs.manifest import read_manifest
from bench.status import Work
from tests.conftest import ROOT
from tests.made_episodes import episode
from tests.made_results import make_run, save_evaluation

BOTH = "task=mini_mbpp,mini_humaneval"
QUICK = ["training.rl.num_steps=2", "training.rl.problems_per_step=2", "tracking=none", "task.num_test=3"]
SCRIPTED = ["model=scripted", "model.replies=['def solve(xs):\\n    return xs\\n[DONE]','no idea']", *QUICK]


def planned(results: Path, task: str, *overrides: str, method: str = "score") -> RunSpec:
    return compose_spec([f"method={method}", f"task={task}", f"results={results}", *SCRIPTED, *overrides])


def problems_by_task(results: Path) -> dict[Any, list[str]]:
    """The problems' ids by method and task."""
    return {
        key: list(rows["problem_id"]) for key, rows in load_episodes(results).groupby(["method", "task"], sort=False)
    }


def plans_of(*overrides: str) -> list[RunSpec]:
    _, plans, refused, _ = run._specs_of(list(overrides), multirun=True)
    assert not refused
    return plans


def test_two_tasks_of_one_training_are_one_run_and_a_method_without_training_has_one_of_each(tmp_path: Path):
    plans = plans_of("method=score,base", BOTH, f"results={tmp_path}", *SCRIPTED)
    assert [(plan.key.method, plan.key.task, [each.folder for each in plan.evaluations]) for plan in plans] == [
        ("score", "mini_mbpp", ["greedy", "mini_humaneval.greedy"]),
        ("base", "mini_mbpp", ["greedy"]),
        ("base", "mini_humaneval", ["greedy"]),
    ]


def test_two_evaluations_of_one_run_in_two_jobs_are_one_run(tmp_path: Path):
    (plan,) = plans_of("method=base", "evaluation=[dev],[greedy]", f"results={tmp_path}", *SCRIPTED)
    assert [each.folder for each in plan.evaluations] == ["dev", "greedy"]


def test_how_many_problems_train_is_the_trainings_and_how_many_test_is_the_evaluations(tmp_path: Path):
    one, other = (planned(tmp_path, task, "task.num_train=7") for task in ("mini_mbpp", "mini_humaneval"))
    whole = merged(one, other)
    assert [len(spec.task.problems("train")) for spec in (one, other)] == [7, 7]
    assert [len(each.problems) for each in whole.evaluations] == [3, 3]
    more = planned(tmp_path, "mini_humaneval", "task.num_test=4")
    assert [len(each.problems) for each in merged(planned(tmp_path, "mini_mbpp"), more).evaluations] == [3, 4]


@pytest.mark.parametrize(
    ("differing", "key"),
    [
        ("training.alpha=1,2", "training.alpha"),
        ("task.num_test=3,4", "task.num_test"),
        ("evaluations.greedy.num_attempts=2,3", "greedy.num_attempts"),
    ],
)
def test_two_trainings_or_two_tests_under_one_name_are_refused_by_the_key_that_differs(
    differing: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    asked = ["method=score", "task=mini_humaneval", f"results={tmp_path}", *SCRIPTED, differing]
    assert run.main(["-m", *asked]) == 2
    said = capsys.readouterr().err
    assert f"score/mini_mbpp/scripted/main/seed0 is requested twice in this sweep, with another {key}; give" in said


def test_a_later_sweep_for_the_other_task_evaluates_and_does_not_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    conduct(planned(tmp_path, "mini_humaneval"))
    (key,) = problems_by_task(tmp_path)
    assert key == ("score", "mini_humaneval")
    monkeypatch.setattr("bench.conduct.run_stages", lambda *_: pytest.fail("it was trained again"))
    later = planned(tmp_path, "mini_mbpp")
    assert not later.is_finished
    conduct(later)
    assert later.is_finished
    assert [(found.key.task, found.trained_on) for found in find_runs(tmp_path)] == [
        ("mini_humaneval", "mini_mbpp"),
        ("mini_mbpp", "mini_mbpp"),
    ]
    manifests = [found.manifest("greedy") for found in find_runs(tmp_path)]
    assert manifests[0].usage == manifests[1].usage
    assert [manifest.task["name"] for manifest in manifests] == ["mini_humaneval", "mini_mbpp"]
    assert manifests[0].table["problems"] != manifests[1].table["problems"]


def test_a_run_killed_between_two_tasks_goes_on_with_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Killed(BaseException):
        pass

    def both(name: str) -> RunSpec:
        return merged(*(planned(tmp_path / name, task) for task in ("mini_mbpp", "mini_humaneval")))

    finish = Run.finish_evaluation

    def dying(*arguments):
        finish(*arguments)
        raise Killed

    conduct(both("whole"))
    monkeypatch.setattr(Run, "finish_evaluation", dying)
    with pytest.raises(Killed):
        conduct(both("broken"))
    monkeypatch.setattr(Run, "finish_evaluation", finish)
    assert [name for _, name in problems_by_task(tmp_path / "broken")] == ["mini_mbpp"]
    monkeypatch.setattr("bench.conduct.run_stages", lambda *_: pytest.fail("it was trained again"))
    conduct(both("broken"))
    whole, broken = (load_episodes(tmp_path / name).filter(regex="^(?!.*seconds)") for name in ("whole", "broken"))
    pd.testing.assert_frame_equal(whole, broken)
    assert set(whole["task"]) == {"mini_mbpp", "mini_humaneval"}


def test_a_task_is_not_tested_on_a_problem_that_its_run_trains_on(tmp_path: Path):
    spec = merged(planned(tmp_path, "mini_mbpp"), planned(tmp_path, "mini_humaneval"))
    task = spec.evaluations[1].task
    asked = replace(task.problems("test")[0], question=spec.task.problems("train")[0].question)
    task.__dict__["loaded"] = (asked,)
    for refuses in (spec.check, lambda: conduct(spec)):
        with pytest.raises(ValueError, match="1 test problems of humaneval stand in its training data"):
            refuses()


def test_an_evaluation_of_other_test_problems_is_refused_by_their_number(tmp_path: Path):
    conduct(planned(tmp_path, "mini_humaneval"))
    with pytest.raises(ValueError, match=r"made with other settings \(task\.num_test 3 instead of 4\)"):
        planned(tmp_path, "mini_humaneval", "task.num_test=4").check()


def test_what_is_planned_is_told_as_one_training_and_its_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    asked = ["-m", "method=score", BOTH, f"results={tmp_path}", *SCRIPTED]
    assert run.main([*asked, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 runs, of which 0 are finished; nothing is run"
    assert [line.split()[0] for line in lines[3:]] == ["stage1", "stage2", "greedy", "mini_humaneval.greedy"]
    plans = plans_of(*asked[1:])
    first = before_sweep(plans, plans, None)[0]
    assert first.startswith("1 run planned: method score; task mini_mbpp; ")
    assert first.endswith("; 1 training tested on mini_mbpp, mini_humaneval")
    conduct(planned(tmp_path, "mini_mbpp"))
    assert run.main([*asked, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert told.count("attempts (done)") == 2


def test_the_time_left_of_a_trained_run_is_its_evaluations(tmp_path: Path):
    conduct(planned(tmp_path, "mini_mbpp"))
    assert Forecast(places=1)._work(planned(tmp_path, "mini_humaneval")) == {Work.evaluate: 3}


def test_a_sweep_trains_once_and_prints_a_row_of_each_task(tmp_path: Path, tiny_model_folder: Path):
    quick = [*QUICK, "training=mini", "training.rl.group_size=2", "task.num_test=2", "model.max_tokens=6"]
    model = ["model=transformers", f"model.path={tiny_model_folder}", "model.threads=1", "model.device=cpu"]
    command = [sys.executable, "bench/run.py", "-m", "method=score", BOTH, f"results={tmp_path}", *model, *quick]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert told.returncode == 0, told.stderr
    assert len(list(tmp_path.glob("runs/**/training.json"))) == 1
    ids = problems_by_task(tmp_path)
    assert list(ids) == [("score", "mini_humaneval"), ("score", "mini_mbpp")]
    assert all(problem.startswith("humaneval/") for problem in ids["score", "mini_humaneval"])
    for task in ("mini_mbpp", "mini_humaneval"):
        assert f"{task} · tiny: greedy evaluation" in told.stdout
    assert told.stdout.count("what training cost") == 1


def test_a_launcher_gets_one_job_of_one_training_and_it_evaluates_both_tasks(tmp_path: Path):
    command = [sys.executable, "bench/run.py", "-m", "hydra/launcher=in_turn", "method=base,score", BOTH]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'launcher_plugin'}:{ROOT}"}
    command += [f"results={tmp_path}", *SCRIPTED]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, env=environment)
    assert told.returncode == 0, told.stderr
    assert "3 of 3 runs done" in told.stderr
    assert set(problems_by_task(tmp_path)) == {
        (method, task) for method in ("base", "score") for task in ("mini_mbpp", "mini_humaneval")
    }
    sessions = [path.read_text().count("\n") for path in tmp_path.glob("runs/**/sessions.jsonl")]
    assert sessions == [1]


def test_a_plan_on_its_way_to_another_process_does_not_grow_with_the_problems_that_were_read(tmp_path: Path):
    spec = planned(tmp_path, "mini_humaneval")
    before = len(pickle.dumps(spec))
    spec.check()
    sent = pickle.dumps(spec)
    assert len(sent) == before
    assert pickle.loads(sent).evaluations[0].problems == spec.evaluations[0].problems


def save_elsewhere(results: Path, *seeds: int) -> None:
    """Runs of score on mini_mbpp with a greedy evaluation on mini_humaneval."""
    for seed in seeds:
        key = RunKey(method="score", task="mini_mbpp", model="mini", variant="main", seed=seed)
        config = {"method": {"name": "score"}, "task": {"name": "mini_mbpp"}, "model": {"name": "mini"}}
        episodes = [episode((place % 2, 1), problem=f"humaneval/{place}") for place in range(8)]
        with Run.lock(key, results, config) as made:
            prompts = {each.problem.id: "?" for each in episodes}
            save_evaluation(made, "greedy", episodes, prompts, {"task": {"name": "mini_humaneval"}})


def test_a_report_has_a_row_of_each_task_and_counts_the_training_once(tmp_path: Path):
    make_run(tmp_path, "score", 0, task="mini_mbpp", num_problems=8)
    save_elsewhere(tmp_path, 0, 1)
    assert report.main(["--results", str(tmp_path)]) == 0
    tables = tmp_path / "reports" / "greedy" / "tables"
    rows = pd.read_csv(tables / "main.csv")
    assert rows[["task", "num_seeds"]].values.tolist() == [["mini_humaneval", 2], ["mini_mbpp", 1]]
    budget = pd.read_csv(tables / "budget.csv")
    assert budget[["task", "num_seeds"]].values.tolist() == [["mini_mbpp", 2]]
    (training,) = trainings(read_index(tmp_path, evaluation="greedy").results)
    assert training.seeds == [0, 1]


def test_a_run_in_training_is_unfinished_for_the_tasks_that_its_plan_names_and_for_no_other(tmp_path: Path):
    spec = planned(tmp_path, "mini_humaneval")
    run._record([spec], tmp_path)
    (row,) = completeness(tmp_path, evaluation="greedy")
    assert (row.setting.task, row.missing) == ("mini_humaneval", (0,))
    with Run.lock(spec.key, tmp_path, spec.config) as made:
        made.log(update=1)
    (row,) = completeness(tmp_path, evaluation="greedy")
    assert (row.setting.task, row.unfinished) == ("mini_humaneval", (0,))
    conduct(spec)
    (row,) = completeness(tmp_path, evaluation="greedy")
    assert (row.setting.task, row.done) == ("mini_humaneval", (0,))


def test_an_evaluation_that_no_run_has_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    make_run(tmp_path, "base", 0)
    assert report.main(["--results", str(tmp_path), "--evaluation", "gredy"]) == 1
    assert "has a gredy evaluation; there are greedy" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


def test_results_of_the_version_before_are_read_where_a_run_trained_on_its_own_task(tmp_path: Path):
    for task in ({"name": "mini_mbpp"}, {"name": "mini_humaneval", "training": {}}):
        record = json.loads((make_run(tmp_path, "score", 0, task=task["name"]) / "greedy/manifest.json").read_text())
        del record["task"]
        folder = tmp_path / task["name"]
        folder.mkdir()
        record |= {"schema_version": 2, "config": {"task": task, "training": {}}}
        (folder / "manifest.json").write_text(json.dumps(record))
    manifest = read_manifest(tmp_path / "mini_mbpp")
    assert manifest is not None
    assert manifest.task == {"name": "mini_mbpp"}
    with pytest.raises(ValueError, match="has schema version 2, in which a run was named after the task that tests it"):
        read_manifest(tmp_path / "mini_humaneval")
