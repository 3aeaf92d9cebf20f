"""What a user may get wrong: refused with exit code 2, in one line that names it and what works instead."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench import run
from bench.results import find_runs
from tests.conftest import ROOT

LAUNCHERS = ROOT / "tests" / "launcher_plugin"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that bench/run.py says to these arguments, which it must refuse."""
    assert run.main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("refused: ")
    return line.removeprefix("refused: ")


@pytest.mark.parametrize("sign", ["", "+", "++", "~"])
@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("sede", "did you mean seed?"),
        ("training.rl.num_step", "did you mean training.rl.num_steps?"),
        ("method.alfa", "did you mean method.alpha?"),
        ("num_steps", "did you mean training.rl.num_steps?"),
        ("nothing", "keys of an experiment: method, task"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one_whatever_sign_it_has(
    sign: str, key: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    line = refused(capsys, "method=score", f"{sign}{key}=3" if sign != "~" else f"~{key}", f"results={tmp_path}")
    assert f"there is no key {key}; " in line
    assert meant in line
    assert "+" not in line.partition("there is no key")[2]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("method=scor", "did you mean method=score? method is one of base, multi_turn_rl"),
        ("task=maht", "did you mean task=math? task is one of humaneval, math, mbpp"),
        ("model=minni", "did you mean model=mini? model is one of mini, replay, scripted, transformers"),
        ("training=papr", "did you mean training=paper? training is one of mini, paper"),
        ("evaluation=[greedi]", "did you mean evaluation=greedy? evaluation is one of dev, greedy, sampled"),
        ("hydra/launcher=nosuch", "hydra/launcher is one of basic"),
        ("method=null", "method is one of base"),
        ("~method", "method is one of base"),
        ("evaluation=[]", "evaluation is one of dev"),
        ("task.source=nowhere", "task.source: Invalid value 'nowhere', expected one of [hub, local, mini]"),
        ("seed=x", "seed: Value 'x'"),
        ("method.alpha=much", "method.alpha: Value 'much'"),
        ("~seed", "leave ~seed out"),
        ("+seed=1", "seed=<value>"),
        ("seed", "'seed' is not key=value"),
        ("seed=0,1", "put -m before it"),
        ("tuned=mini", "tuned=mini: tuned/ is read as"),
        ("model=transformers", "set model.path=<value>"),
        ("model.template=[", "stands in quotes"),
        ("hydra/sweeper=basic", "sweeps are written as lists"),
    ],
)
def test_a_wrong_choice_or_value_is_refused_with_what_there_is(
    override: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert said in refused(capsys, "method=score", override, f"results={tmp_path}")


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "", "x" * 300, "α5-ü", "'α5-ü'", "a\\ b", ".hidden"])
@pytest.mark.parametrize("key", ["variant", "model.name"])
def test_a_name_that_is_not_one_safe_part_of_a_path_is_refused(
    key: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if key == "model.name" and not name:
        pytest.skip("an empty model.name stands for the last part of model.path")
    assert f"set {key}=<name>" in refused(capsys, f"{key}={name}", f"results={tmp_path / 'r'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", ["glob(no*)", "interval(0,1)"])
def test_a_sweep_without_jobs_or_without_end_is_refused(values: str, capsys: pytest.CaptureFixture[str]):
    assert f"method={values}" in refused(capsys, "-m", f"method={values}")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task.source=local"], "task.path"),
        (["task.source=local", "task.path=/no/such/folder"], "/no/such/folder"),
        (["model=transformers", "model.path=/no/such/model"], "no such folder"),
        (["model=replay", "model.path=/no/such/file.jsonl"], "no such file"),
        (["method=score", "training.rl.sampling.top_p=0.9"], "top_p=1"),
        (["method=score", "training.rl.samples_per_problem=1"], "at least 2"),
        (["results=/proc/nowhere"], "set results=<another folder>"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_does(
    overrides: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    where = [] if any(override.startswith("results=") for override in overrides) else [f"results={tmp_path}"]
    assert said in refused(capsys, *overrides, *where, "tracking=none")
    assert find_runs(tmp_path) == []


def test_the_command_itself_refuses_with_exit_code_2_and_no_traceback(tmp_path: Path):
    command = [sys.executable, "bench/run.py", "-m", "method=base,score", "+sede=1", f"results={tmp_path}"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.returncode == 2
    assert told.stderr.count("refused: ") == 2
    assert "Traceback" not in told.stderr


def test_elsewhere_than_on_linux_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "this runs on Linux" in refused(capsys)


def test_a_launchers_jobs_are_checked_before_any_is_submitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(LAUNCHERS)
    importlib.import_module("hydra_plugins.in_turn")
    monkeypatch.setattr(run, "launch", lambda *_, **__: pytest.fail("it was submitted"))
    asked = ["-m", "hydra/launcher=in_turn", "method=base", "task.source=local", "task.path=/no/such/folder"]
    assert "/no/such/folder does not exist" in refused(capsys, *asked, f"results={tmp_path}")
