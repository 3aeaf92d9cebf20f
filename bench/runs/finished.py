"""Run folders as a reader sees them: finished, unfinished, or half written by a crash."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import ArrowInvalid

from bench.runs.folder import RunKey
from bench.runs.manifest import Manifest, read_manifest

_BEGUN = ("manifest.json", "parts/made_from.json")  # of an evaluation that has finished or is under way


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run as one task tests it, and what has finished of that."""

    key: RunKey  # with the task that tests
    path: Path
    trained_on: str  # the task that the run is stored under

    @property
    def run_key(self) -> RunKey:
        return replace(self.key, task=self.trained_on)

    def folder(self, evaluation: str) -> Path:
        return self.path / self.run_key.evaluation_folder(evaluation, task=self.key.task)

    @property
    def config(self) -> dict[str, Any]:
        return _read_object(self.path / "config.json")

    def evaluations(self) -> tuple[str, ...]:
        """The finished ones."""
        return tuple(sorted(name for task, name in _evaluations(self.path, "manifest.json") if self._is_of(task)))

    def begun_evaluations(self) -> tuple[str, ...]:
        """Those that have finished or are under way."""
        return tuple(sorted({name for task, name in _evaluations(self.path, *_BEGUN) if self._is_of(task)}))

    def manifest(self, evaluation: str) -> Manifest:
        """Raises ValueError where it is damaged, or another version of this project wrote it."""
        manifest = read_manifest(self.folder(evaluation))
        if manifest is None:
            raise ValueError(f"{self.folder(evaluation)} has no manifest.json; delete it and run again")
        return manifest

    def episodes(self, evaluation: str) -> pd.DataFrame:
        """A finished evaluation's, with the run's key as columns. Raises ValueError where the file is not whole."""
        path = self.folder(evaluation) / "episodes.parquet"
        frame = _read_rows(path)
        expected = self.manifest(evaluation).num_rows
        if len(frame) != expected:
            raise ValueError(f"{path.parent}: {len(frame)} episodes where the manifest says {expected}")
        return frame.assign(**asdict(self.key), evaluation=evaluation)

    def _is_of(self, task: str) -> bool:
        return (task or self.trained_on) == self.key.task


def find_runs(results: Path) -> list[RunFolder]:
    """Every run folder under `results`, in the order of their paths, once for each task that tests it.

    One that no task has begun to test counts under its own.
    """
    runs = []
    for config in sorted((results / "runs").glob("*/*/*/*/seed*/config.json")):
        method, task, model, variant, seed = config.parent.relative_to(results / "runs").parts
        if seed.removeprefix("seed").isdecimal():
            key = RunKey(method=method, task=task, model=model, variant=variant, seed=int(seed.removeprefix("seed")))
            tasks = sorted({tested or task for tested, _ in _evaluations(config.parent, *_BEGUN)}) or [task]
            runs += [RunFolder(replace(key, task=tested), config.parent, trained_on=task) for tested in tasks]
    return runs


def _evaluations(run: Path, *files: str) -> list[tuple[str, str]]:
    """(task, name) of the evaluations of a run's folder that have one of the files; the run's own task is empty."""
    folders = (found.relative_to(run).parts[0] for file in files for found in run.glob(f"*/{file}"))
    return [(task, name) for task, _, name in (folder.rpartition(".") for folder in folders)]


def load_episodes(results: Path, evaluation: str = "greedy") -> pd.DataFrame:
    """All finished episodes of one evaluation, with the run's key as columns; an empty frame if there are none."""
    frames = [run.episodes(evaluation) for run in find_runs(results) if evaluation in run.evaluations()]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def log_of(run: RunFolder) -> pd.DataFrame:
    """train.jsonl as a frame; a last line torn by a crash is left out."""
    path = run.path / "train.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return pd.DataFrame(rows)


def training_data_of(run: RunFolder) -> pd.DataFrame | None:
    """What the weights were fitted to, as episodes.parquet; of several iterations the last. None: nothing imitated.

    Raises ValueError where the file is damaged.
    """
    files = sorted((run.path / "training_data").glob("*.parquet"), key=lambda path: (len(path.name), path.name))
    return _read_rows(files[-1]) if files else None


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ArrowInvalid) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete its folder and run again") from None


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; raises ValueError, with the path, where it is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete its folder and run again") from None
