"""A process that gets SIGKILL in any phase of imitation or of its evaluation: the next one ends as if nothing had been.

`test_resume_imitation.py` raises where this kills, and is quicker; only a killed process leaves files half written,
nothing closed and no lock released by the program itself.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.runs.finished import find_runs, load_episodes, log_of, training_data_of
from tests.conduct_and_die import conduct_and_die

PHASES = {  # module, what is called in it, and which call is the last one
    "collecting, between two chunks": ("bench.training.collection", "write_episodes", 2),
    "collecting, before a chunk's record": ("bench.training.collection", "write_file", 2),
    "collecting, inside a file": ("bench.files", "os.fsync", 9),
    "selecting": ("bench.methods.star", "_is_kept", 9),
    "writing training data": ("bench.runs.folder", "write_rows", 1),
    "fine-tuning": ("bench.models.policy", "TransformersPolicy.update", 5),
    "fine-tuning, at a checkpoint": ("bench.runs.folder", "Run.save_progress", 2),
    "fine-tuning, inside a checkpoint": ("torch", "save", 2),
    "saving the weights": ("bench.models.policy", "TransformersPolicy.save", 1),
    "after saving the weights": ("bench.runs.folder", "Run.delete_leftovers", 2),  # the first call is the lock's
    "evaluating": ("bench.runs.parts", "Parts.write_next", 3),
    "evaluating, inside a part": ("bench.runs.parts", "gzip.compress", 3),
    "joining parts": ("bench.runs.parts", "Parts.transcripts", 1),
    "after joining parts": ("bench.runs.parts", "Parts.delete", 1),
}
OF_PAIR_SFT = {"selecting": ("bench.methods.pair_sft", "with_second_attempt", 9)}
METHODS = {"star_plus": {}, "pair_sft_plus": OF_PAIR_SFT}


def process(folder: Path, method: str, *die: Any) -> int | None:
    """The exit code of an experiment in a process of its own; minus a signal's number where that ended it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.conduct_and_die"])
    child = context.Process(target=conduct_and_die, args=(str(folder), method, *die))
    child.start()
    child.join()
    return child.exitcode


def outcome(folder: Path) -> dict[str, Any]:
    (run,) = find_runs(folder)
    untimed = "^(?!.*(seconds|time|speed/))"
    data = training_data_of(run)
    assert data is not None
    return {
        "weights": hashlib.sha256((run.path / "weights" / "model.safetensors").read_bytes()).hexdigest(),
        "log": log_of(run).filter(regex=untimed).to_csv(),
        "rows": load_episodes(folder).filter(regex=untimed).to_csv(),
        "training data": data.filter(regex=untimed).to_csv(),
        "transcripts": pd.read_json(run.path / "greedy" / "transcripts.jsonl.gz", lines=True).to_csv(),
        "budget": run.manifest("greedy").usage,
        "files": sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    outcomes = {}
    for method in METHODS:
        folder = tmp_path_factory.mktemp(method)
        assert process(folder, method) == 0
        outcomes[method] = outcome(folder)
    return outcomes


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("method", METHODS)
def test_killed_with_signal_9_in_a_phase_a_run_that_is_started_again_ends_the_same(
    method: str, phase: str, whole: dict[str, dict[str, Any]], tmp_path: Path
):
    die = METHODS[method].get(phase) or PHASES[phase]
    assert process(tmp_path, method, *die) == -signal.SIGKILL
    assert process(tmp_path, method) == 0
    assert outcome(tmp_path) == whole[method]
