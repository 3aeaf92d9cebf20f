"""`--dry-run`: the plan of a sweep, said before anything is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import run
from tests.conftest import ROOT


def test_a_dry_run_names_runs_stages_steps_samples_and_folders_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    results = tmp_path / "results"
    asked = ["-m", "method=base,score,star,pair_sft", "seed=0,1", f"results={results}", "tracking=none"]
    assert run.main([*asked, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "8 runs, of which 0 are finished; nothing is run"
    start = lines.index(f"{results}/runs/score/mini_math/mini/main/seed{{0,1}}")
    assert [line.split() for line in lines[start + 1 : start + 3]] == [
        ["stage1", "reinforce", "200", "updates,", "25,600", "conversations", "of", "2", "attempts"],
        ["stage2", "reinforce", "100", "updates,", "12,800", "conversations", "of", "2", "attempts"],
    ]
    assert "500 problems of the test split, 2 attempts" in lines[start + 3]
    assert sum("of 13,200 conversations, from the weights of: base" in line for line in lines) == 2
    assert not list(results.rglob("*.json"))


def test_a_dry_run_imports_no_model_code():
    program = (
        "import sys; from bench import run; code = run.main(['method=score', 'tracking=none', '--dry-run']);"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True).returncode == 0


def test_a_dry_run_of_a_hubs_data_set_downloads_nothing(capsys: pytest.CaptureFixture[str]):
    chosen = ["model=transformers", "model.path=some/model", "task=math", "task.source=hub", "method=star"]
    assert run.main([*chosen, "tracking=none", "--dry-run"]) == 0
    assert "all problems of the test split" in capsys.readouterr().out


def test_a_value_of_the_training_that_no_method_reads_is_refused_and_one_that_some_read_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    common = [f"results={tmp_path}", "tracking=none", "training.alpha=3"]
    assert run.main(["-m", "method=multi_turn_rl,base", *common]) == 2
    told = capsys.readouterr().err
    assert told == "refused: training.alpha is read by no method of this sweep (multi_turn_rl, base): leave it out\n"
    model = ["model=scripted", "model.replies=[a]", "task.num_test=2", "training.rl.num_steps=2"]
    assert run.main(["-m", "method=multi_turn_rl,score", *common, *model, "training.rl.problems_per_step=2"]) == 0
    assert "note: training.alpha is not read by multi_turn_rl\n" in capsys.readouterr().err
