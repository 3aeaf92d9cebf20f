"""A disk that is full in the middle of a run: one line says what to do, and with more room the same command goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.runs.finished import find_runs, load_episodes
from tests.conftest import ROOT

SETTINGS = ["method=star_plus", "tracking=none", "task.num_train=40", "task.num_test=10", "training.sft.batch_size=4"]
SETTINGS += ["training.sft.samples_per_problem=3", "training.sft.checkpoint_every=2"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """300 KiB: room for the collected conversations, and none for a checkpoint."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system of its own takes root, or a container that allows it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def bench(results: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bench/run.py", f"results={results}", *SETTINGS]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_a_run_that_fills_the_disk_says_how_to_go_on_and_goes_on_with_what_it_had(small_disk: Path, tmp_path: Path):
    interrupted = bench(small_disk)
    assert interrupted.returncode == 1
    lines = interrupted.stderr.splitlines()
    assert sum("the disk is full: make room" in line for line in lines) == 1
    assert not [line for line in lines if "Traceback" in line]
    (again,) = [line for line in lines if line.startswith("try the failed ones again:")]
    assert again.endswith(f"python bench/run.py results={small_disk} {' '.join(SETTINGS)}")
    (run,) = find_runs(small_disk)
    collected = run.path / "training_data" / "star_1.parquet"
    written = collected.read_bytes()
    chunks = {path: path.stat().st_mtime_ns for path in (run.path / "collected").rglob("*.json*")}
    assert len(chunks) == 2
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert bench(small_disk).returncode == 0
    assert collected.read_bytes() == written  # graded once: its seconds would differ
    assert bench(tmp_path / "whole").returncode == 0
    (whole,) = find_runs(tmp_path / "whole")
    weights = [each.path / "weights" / "model.safetensors" for each in (run, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    rows = [load_episodes(folder).filter(regex="^(?!.*seconds)") for folder in (small_disk, tmp_path / "whole")]
    assert rows[0].to_csv() == rows[1].to_csv()
