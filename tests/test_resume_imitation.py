"""Imitation that is killed, in any phase, ends like one that was not: weights, log, rows and budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bench.training.checkpoint as checkpoint_module
import bench.training.collection as collection_module
from bench.conduct import conduct
from bench.experiment import RunSpec
from bench.launch.catalogue import compose_spec
from bench.models.policy import TransformersPolicy
from bench.runs.finished import find_runs, load_episodes, log_of

METHODS = ("star_plus", "pair_sft_plus", "score_star_stage2")
PHASES = {  # what is called in each
    "collecting": (collection_module, "write_file"),
    "inside an epoch": (TransformersPolicy, "update"),
    "at a checkpoint": (checkpoint_module, "save"),
    "at the save": (TransformersPolicy, "save"),
}


class Killed(BaseException):
    """Stands for SIGKILL."""


def spec(folder: Path, method: str) -> RunSpec:
    overrides = ["tracking=none", "task.num_train=40", "task.num_test=4", "training.sft.samples_per_problem=3"]
    overrides += ["training.sft.batch_size=4", "training.sft.checkpoint_every=2", "training.sft.probe_every=3"]
    overrides += ["training.sft.probe_problems=4", "training.rl.num_steps=4", "training.rl.problems_per_step=2"]
    return compose_spec([f"method={method}", "training.rl.checkpoint_every=2", f"results={folder}", *overrides])


def outcome(folder: Path) -> tuple[Any, ...]:
    (run,) = find_runs(folder)
    log = log_of(run).filter(regex="^(?!.*(seconds|time|speed/))")
    rows = load_episodes(folder).filter(regex="^(?!.*seconds)")
    weights = (run.path / "weights" / "model.safetensors").read_bytes()
    return weights, log.to_csv(), rows.to_csv(), run.manifest("greedy").usage


@pytest.mark.parametrize("method", METHODS)
def test_killed_in_any_phase_imitation_ends_with_the_same_weights_log_and_rows(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(collection_module, "CONVERSATIONS_AT_ONCE", 20)
    calls = dict.fromkeys(PHASES, 0)
    die = dict.fromkeys(PHASES, -1)  # at this call of the phase; -1: never

    def watched(phase: str, real: Any):
        def call(*arguments: Any, **named: Any):
            calls[phase] += 1
            if calls[phase] == die[phase]:
                raise Killed
            return real(*arguments, **named)

        return call

    for phase, (owner, name) in PHASES.items():
        monkeypatch.setattr(owner, name, watched(phase, getattr(owner, name)))
    conduct(spec(tmp_path / "whole", method))
    totals = dict(calls)
    assert all(totals.values())
    for phase, total in totals.items():
        calls[phase], die[phase] = 0, 1 + total // 2
        folder = tmp_path / phase.replace(" ", "_")
        with pytest.raises(Killed):
            conduct(spec(folder, method))
        die[phase] = -1
        conduct(spec(folder, method))
        assert outcome(folder) == outcome(tmp_path / "whole"), phase
