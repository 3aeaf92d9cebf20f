"""The log and its mirrors."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.tracking import Progress, Tracker, WandbMirror, open_wandb


def test_every_row_is_on_disk_as_soon_as_it_is_logged(tmp_path: Path):
    tracker = Tracker(tmp_path / "train.jsonl", label="run")
    tracker.log(update=1, loss=0.5)
    row = json.loads((tmp_path / "train.jsonl").read_text())
    row.pop("time")
    assert row == {"update": 1, "loss": 0.5}


def test_every_row_says_when_it_was_logged_in_utc(tmp_path: Path):
    tracker = Tracker(tmp_path / "train.jsonl", label="run")
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    tracker.log(update=1)
    logged = datetime.fromisoformat(json.loads((tmp_path / "train.jsonl").read_text())["time"])
    assert logged.utcoffset() == timedelta(0)
    assert before <= logged <= datetime.now(UTC)


class FakeWandb:
    """Keeps what a run would have been given."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def log(self, row: dict) -> None:
        self.rows.append(row)

    Histogram = staticmethod(lambda np_histogram: np_histogram)
    Table = staticmethod(lambda columns, data: [dict(zip(columns, row, strict=True)) for row in data])


@pytest.mark.parametrize("values", [[0.0, 0.03, 0.31], [0.95, 1.0]], ids=str)
def test_histograms_of_all_runs_have_tenths_of_zero_to_one_as_bins(values: list[float]):
    run = FakeWandb()
    WandbMirror(run, run).summarise({}, histograms={"eval/edit_indel_2": values}, transcripts=[])  # pyright: ignore
    counts, edges = run.rows[0]["eval/edit_indel_2"]
    assert edges.tolist() == pytest.approx([place / 10 for place in range(11)])
    assert counts.sum() == len(values)
    assert counts[0] == sum(value < 0.1 for value in values)


def test_rows_past_the_checkpoint_and_torn_lines_are_forgotten(tmp_path: Path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"update": 1}\n{"update": 2}\n{"update": 3}\n{"upd')
    Tracker(path, label="run").forget_after(2)
    assert path.read_text() == '{"update": 1}\n{"update": 2}\n'


def test_without_a_terminal_progress_is_plain_lines_with_the_time_left(capsys: pytest.CaptureFixture[str]):
    progress = Progress("score/math stage1", total=2, seconds_between_lines=0)
    progress.advance(shown={"accuracy@t1": 0.5})
    progress.advance(shown={"accuracy@t1": 0.75})
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].split("  ") == ["score/math stage1", "2/2", "0 s left", "accuracy@t1 0.75"]


def test_the_wandb_mirror_is_offline_without_an_account_and_can_be_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    mirror = open_wandb(tmp_path, config={"seed": 0}, group="score", name="score.math")
    assert mirror is not None
    tracker = Tracker(tmp_path / "train.jsonl", label="run")
    tracker.mirror = mirror
    tracker.log(update=1, **{"train/accuracy@t1": 0.5})
    tracker.summarise(
        {"eval/accuracy@t1": 0.5, "eval/delta": -0.125},
        histograms={"eval/edit_indel_2": [0.0, 0.25]},
        transcripts=[{"problem_id": "p", "attempts": ["a", "b"]}],
    )
    tracker.close()
    (recorded,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(recorded)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("train/accuracy@t1", "eval/accuracy@t1", "eval/delta", "eval/edit_indel_2", "eval/transcripts"):
        assert name in told
