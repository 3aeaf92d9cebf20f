"""Run folders as a reader sees them: finished, unfinished, or half written by a crash."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import ArrowInvalid

from bench.runs.folder import RunKey
from bench.runs.manifest import Manifest, read_manifest


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run and what has finished of it."""

    key: RunKey
    path: Path

    @property
    def config(self) -> dict[str, Any]:
        return _read_object(self.path / "config.json")

    def evaluations(self) -> tuple[str, ...]:
        """The finished ones."""
        return tuple(sorted(manifest.parent.name for manifest in self.path.glob("*/manifest.json")))

    def manifest(self, evaluation: str) -> Manifest:
        """Raises ValueError where it is damaged, or another version of this project wrote it."""
        manifest = read_manifest(self.path / evaluation)
        if manifest is None:
            raise ValueError(f"{self.path / evaluation} has no manifest.json; delete it and run again")
        return manifest

    def episodes(self, evaluation: str) -> pd.DataFrame:
        """A finished evaluation's, with the run's key as columns. Raises ValueError where the file is not whole."""
        frame = _read_rows(self.path / evaluation / "episodes.parquet")
        expected = self.manifest(evaluation).num_rows
        if len(frame) != expected:
            raise ValueError(f"{self.path / evaluation}: {len(frame)} episodes where the manifest says {expected}")
        return frame.assign(**asdict(self.key), evaluation=evaluation)


def find_runs(results: Path) -> list[RunFolder]:
    """Every run folder under `results`, in the order of their paths."""
    runs = []
    for config in sorted((results / "runs").glob("*/*/*/*/seed*/config.json")):
        method, task, model, variant, seed = config.parent.relative_to(results / "runs").parts
        if seed.removeprefix("seed").isdecimal():
            key = RunKey(method=method, task=task, model=model, variant=variant, seed=int(seed.removeprefix("seed")))
            runs.append(RunFolder(key, config.parent))
    return runs


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
