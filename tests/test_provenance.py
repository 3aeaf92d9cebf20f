"""Where and when a training ran: written as it starts, one entry per start, and kept with every evaluation."""

import json
from pathlib import Path

import pytest

from bench.conduct import conduct
from bench.launch.catalogue import compose_spec
from bench.runs import provenance as provenance_module
from bench.runs.finished import find_runs
from bench.runs.provenance import session, sessions

QUICK = [
    "training.rl.num_steps=2",
    "training.rl.problems_per_step=2",
    "training.rl.checkpoint_every=2",
    "task.num_test=2",
]
QUICK += ["model=scripted", "model.replies=[a]", "tracking=none", "method=score"]


def test_a_start_is_on_disk_before_the_work_and_its_end_after_it(tmp_path: Path):
    path = tmp_path / "sessions.jsonl"
    with session(path):
        (entry,) = sessions(path)
        assert entry["end"] is None
        for name in ("commit", "versions", "host", "hardware", "command", "start"):
            assert name in entry
    (ended,) = sessions(path)
    assert ended["start"] <= ended["end"]
    assert {**ended, "end": None} == entry


def test_every_restart_adds_an_entry_and_keeps_the_earlier_ones(tmp_path: Path):
    path = tmp_path / "sessions.jsonl"
    path.write_text('{"start": "2025-01-01", "end": null, "host": "killed"}\n')
    with pytest.raises(KeyboardInterrupt), session(path):
        raise KeyboardInterrupt
    killed, interrupted = sessions(path)
    assert killed == {"start": "2025-01-01", "end": None, "host": "killed"}
    assert interrupted["end"] is not None


def test_an_evaluation_on_another_machine_still_says_where_the_weights_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(provenance_module.platform, "node", lambda: "trainer")
    conduct(compose_spec([*QUICK, f"results={tmp_path}"]))
    (run,) = find_runs(tmp_path)
    monkeypatch.setattr(provenance_module.platform, "node", lambda: "laptop")
    conduct(compose_spec([*QUICK, f"results={tmp_path}", "evaluation=[greedy,ten_attempts]"]))
    first, later = (run.manifest(name) for name in ("greedy", "ten_attempts"))
    assert (first.provenance["host"], later.provenance["host"]) == ("trainer", "laptop")
    assert [entry["host"] for entry in later.training_sessions] == ["trainer"]
    assert first.start <= first.end <= later.start
    assert later.renderer == {"kind": "characters"}


def test_what_failed_before_it_produced_anything_leaves_no_session_to_another_configuration(tmp_path: Path):
    conduct(compose_spec([*QUICK, f"results={tmp_path}"]))
    (run,) = find_runs(tmp_path)
    assert len(sessions(run.path / "sessions.jsonl")) == 1
    for path in run.path.iterdir():
        if path.name not in ("config.json", "inputs.json", "sessions.jsonl"):
            path.unlink() if path.is_file() else [each.unlink() for each in path.rglob("*") if each.is_file()]
            path.rmdir() if path.is_dir() else None
    conduct(compose_spec([*QUICK, "training.alpha=3", f"results={tmp_path}"]))
    assert json.loads((run.path / "config.json").read_text())["training"]["alpha"] == 3
    assert len(sessions(run.path / "sessions.jsonl")) == 1
