"""The command: what a user types, and what comes back."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra import initialize_config_dir

from bench import run
from bench.launch.catalogue import register
from bench.launch.command_line import CONF, jobs_of
from bench.runs.finished import find_runs, load_episodes
from tests.conftest import ROOT

ANSWERS = "[" + ",".join(f"'Final Answer: The final answer is ${n}$. I hope it is correct.'" for n in range(4)) + "]"
SCRIPTED = ["model=scripted", f"model.replies={ANSWERS}", "task.num_test=5", "tracking=none"]
# Of the budget only what the methods of a command read: anything else is refused.
REINFORCED = ["training.rl.num_steps=2", "training.rl.problems_per_step=2"]
IMITATED = ["training.sft.samples_per_problem=4"]


def bench(*overrides: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bench/run.py", *overrides]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def test_a_sweep_leaves_a_folder_per_run_prints_the_table_and_is_not_done_twice(tmp_path: Path):
    overrides = ["-m", "method=base,score", f"results={tmp_path}", *SCRIPTED, *REINFORCED]
    first = bench(*overrides)
    assert first.returncode == 0, first.stderr
    assert len(find_runs(tmp_path)) == 2
    assert "SCoRe" in first.stdout
    assert "Accuracy" in first.stdout
    again = bench(*overrides)
    assert "2 of 2 runs were finished before" in again.stderr
    assert again.stdout == first.stdout


def test_a_sweep_prints_a_table_of_each_evaluation_that_it_asked_for(tmp_path: Path):
    done = bench("method=base", "evaluation=[dev,sampled]", f"results={tmp_path}", *SCRIPTED)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "dev evaluation, percent" in shown
    assert "sampled evaluation, percent" in shown
    assert "has finished" not in shown
    assert f"{tmp_path}/reports/dev" in done.stderr


def test_a_glob_over_methods_means_every_yaml_of_conf_and_nothing_else():
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        jobs = jobs_of(["method=glob(*)"], multirun=True)
    assert sorted(jobs) == sorted([f"method={path.stem}"] for path in (CONF / "method").glob("*.yaml"))


def test_a_failed_job_stops_no_other_and_is_named(tmp_path: Path):
    # Stage II has nothing to learn from a reply that is never right, Pair-SFT has nothing to pair.
    never = ["model.replies=['no idea']", *SCRIPTED[2:]]
    done = bench("-m", "method=pair_sft,base", "model=scripted", f"results={tmp_path}", *never, *IMITATED)
    assert done.returncode == 1
    assert "failed: pair_sft/mini_math/scripted/main/seed0" in done.stderr
    assert "no conversation qualified" in done.stderr
    assert set(load_episodes(tmp_path)["method"]) == {"base"}


def test_one_bad_job_of_a_sweep_is_refused_before_any_other_runs(tmp_path: Path):
    refused = bench("-m", "seed=0,1", "method=base", "task.num_test=5,0", f"results={tmp_path}", *SCRIPTED[:2])
    assert refused.returncode == 2
    assert find_runs(tmp_path) == []


def test_a_misspelt_key_in_a_methods_yaml_is_refused(tmp_path: Path):
    for folder in ("bench", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "conf/method/score.yaml").open("a") as yaml:
        yaml.write("alhpa: 3\n")
    command = [sys.executable, "bench/run.py", "method=score", "tracking=none"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode != 0
    assert "alhpa" in done.stderr


def test_a_sweep_killed_at_any_moment_is_completed_by_the_same_command(tmp_path: Path):
    overrides = ["-m", "method=score", "seed=0,1", "jobs=2", *SCRIPTED, *REINFORCED]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert bench(*overrides, f"results={whole}").returncode == 0
    command = [sys.executable, "bench/run.py", *overrides, f"results={broken}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(broken.glob("runs/**/config.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    done = bench(*overrides, f"results={broken}")
    assert done.returncode == 0, done.stderr
    frames = [load_episodes(folder).filter(regex="^(?!.*seconds)") for folder in (whole, broken)]
    assert frames[0].equals(frames[1])


def test_every_run_leaves_word_of_what_was_planned(tmp_path: Path):
    bench("method=base", f"results={tmp_path}", *SCRIPTED)
    (sweep,) = (tmp_path / "sweeps").glob("*.json")
    assert json.loads(sweep.read_text())["runs"] == [
        {"method": "base", "task": "mini_math", "model": "scripted", "variant": "main", "seed": 0}
    ]


def test_a_launchers_failed_job_is_named_and_ends_with_exit_code_1(tmp_path: Path):
    # Pair-SFT has nothing to pair in replies that are never right; the base is measured all the same.
    overrides = ["-m", "hydra/launcher=in_turn", "method=pair_sft,base", "model=scripted", "model.replies=['no idea']"]
    command = [sys.executable, "bench/run.py", *overrides, f"results={tmp_path}", *SCRIPTED[2:], *IMITATED]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'launcher_plugin'}:{ROOT}"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 1
    assert "failed: pair_sft/mini_math/scripted/main/seed0 (why: " in done.stderr
    assert set(load_episodes(tmp_path)["method"]) == {"base"}
    assert len(list((tmp_path / "sweeps").glob("*.json"))) == 1


def test_a_launcher_gets_one_job_of_two_names_of_one_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    launched: list[list[str]] = []
    monkeypatch.setattr(run, "launch", lambda jobs, *, results: launched.extend(job for job, _ in jobs) or [])  # noqa: ARG005
    monkeypatch.syspath_prepend(ROOT / "tests" / "launcher_plugin")
    importlib.import_module(
        "hydra_plugins.in_turn"
    )  # Hydra looks for plugins once in a process, maybe before this test
    names = "method=score_wo_multi_turn,single_turn_rl,base,base"
    run.main(["-m", "hydra/launcher=in_turn", names, f"results={tmp_path}", *SCRIPTED, *REINFORCED])
    assert [next(word for word in job if word.startswith("method=")) for job in launched] == [
        "method=score_wo_multi_turn",
        "method=base",
    ]
