"""The log and its mirrors."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import wandb

from bench.runs.progress import Progress
from bench.runs.records import to_read, transcript_row
from bench.runs.tracker import Tracker
from bench.runs.tracking import WandbMirror, open_wandb
from tests.made_episodes import episode


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
    WandbMirror(run, run).summarise({}, histograms={"eval/edit_indel_2": values}, transcripts={})  # pyright: ignore
    counts, edges = run.rows[0]["eval/edit_indel_2"]
    assert edges.tolist() == pytest.approx([place / 10 for place in range(11)])
    assert counts.sum() == len(values)
    assert counts[0] == sum(value < 0.1 for value in values)


def test_the_names_of_alerts_are_in_the_log_and_not_in_wandb(tmp_path: Path):
    run = FakeWandb()
    tracker = Tracker(tmp_path / "train.jsonl", label="run")
    tracker.mirror = WandbMirror(run, run)  # pyright: ignore[reportArgumentType]
    tracker.log(update=1, alerts=["collapse"])
    assert json.loads((tmp_path / "train.jsonl").read_text())["alerts"] == ["collapse"]
    assert run.rows == [{"update": 1}]


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
        transcripts={"eval/transcripts": [{"problem_id": "p", "attempts": ["a", "b"]}]},
    )
    tracker.close()
    (recorded,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(recorded)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("train/accuracy@t1", "eval/accuracy@t1", "eval/delta", "eval/edit_indel_2", "eval/transcripts"):
        assert name in told


def test_a_key_that_is_none_costs_a_line_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "bad")
    wandb.teardown()  # what an earlier test's environment said is remembered until then
    mirror = open_wandb(tmp_path, config={}, group="score", name="score.math")
    assert mirror is not None
    mirror.log({"update": 1, "train/accuracy@t1": 0.5})
    mirror.close()
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 1
    (line,) = [record.getMessage() for record in caplog.records if record.name == "bench.runs.tracking"]
    assert "API key" in line
    assert f"wandb sync {tmp_path}/wandb/offline-run-*" in line
    assert "\n" not in line


class UnreachableWandb:
    """W&B behind a network that is not there: a key is believed, and nothing answers."""

    Error = RuntimeError
    Settings = staticmethod(lambda **settings: settings)

    def __init__(self) -> None:
        self.started: list[dict] = []

    def login(self, *, prompt: bool) -> bool:
        assert not prompt  # a run cannot wait for somebody to type
        return True

    def init(self, **asked: object) -> object:
        self.started.append(asked)
        if asked["mode"] == "online":
            raise self.Error("deadline\nexceeded")
        return self

    def define_metric(self, *_: object, **__: object) -> None: ...


def test_without_a_network_a_run_waits_seconds_and_goes_on_offline_under_its_own_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    unreachable = UnreachableWandb()
    monkeypatch.setitem(sys.modules, "wandb", unreachable)
    for _ in ("training", "a later evaluation"):
        assert open_wandb(tmp_path, config={}, group="score", name="score.math") is not None
    assert [asked["mode"] for asked in unreachable.started] == ["online", "offline"] * 2
    for asked in unreachable.started:
        assert asked["settings"]["init_timeout"] <= 12
        assert asked["settings"]["finish_timeout"] <= 12
        assert asked["resume"] == "allow"
    assert len({asked["id"] for asked in unreachable.started}) == 1
    open_wandb(tmp_path / "other", config={}, group="score", name="score.math")
    assert len({asked["id"] for asked in unreachable.started}) == 2


def test_a_mirror_that_fails_is_dropped_with_one_line_and_the_log_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    class Broken:
        def log(self, row: dict) -> None:  # noqa: ARG002  it fails of any
            raise BrokenPipeError("gone")

    tracker = Tracker(tmp_path / "train.jsonl", label="run")
    tracker.mirror = Broken()  # pyright: ignore[reportAttributeAccessIssue]
    for update in (1, 2):
        tracker.log(update=update)
    tracker.close()
    assert len((tmp_path / "train.jsonl").read_text().splitlines()) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "the mirror of this run failed (gone); its own files are complete"
    ]


def test_the_transcripts_to_read_are_a_mix_of_what_became_of_first_attempts():
    grades = [(1, 1)] * 30 + [(0, 1)] * 2 + [(1, 0)] + [(0, 0)] * 30
    episodes = [episode(pair, problem=f"p{place}") for place, pair in enumerate(grades)]
    rows = to_read(transcript_row(played, "?") for played in episodes)
    assert Counter(row["kind"] for row in rows) == {"fixed": 2, "broken": 1, "stayed right": 9, "stayed wrong": 8}
    assert all((row["grade_1"] == "correct") == (row["kind"] in ("broken", "stayed right")) for row in rows)
    assert len(to_read(transcript_row(played, "?") for played in episodes[:3])) == 3
