"""Run folders: facts on disk, written so that a crash at any moment loses at most what was under way.

    results/runs/<method>/<task>/<model>/<variant>/seed<k>/
      config.json                what this folder is of; another configuration is refused once something is produced
      inputs.json                what stood at the configuration's paths: digests and revisions of weights and data
      train.jsonl                a line per update
      sessions.jsonl             a line per start or restart of its training: when, where, by which code and command
      training_data/             the conversations that a supervised method imitated, a parquet file per iteration
      weights/ training.json     the trained weights and what they cost; training.json says they are complete
      state/                     what a resumed training needs
      <evaluation>/              episodes.parquet, transcripts.jsonl.gz, and manifest.json, written last
      <task>.<evaluation>/       the same on another task that trains on the run's problems: HumanEval's, on MBPP's

Whatever a crash must not tear is written by `bench.files`: aside, flushed to disk and renamed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.episode import Episode
from bench.files import write_file, write_folder
from bench.runs.lock import LOCK, check_config, check_not_held, has_produced, locked, not_writable
from bench.runs.manifest import Manifest, read_manifest, write_manifest
from bench.runs.parts import Parts, read_without_answers, write_rows
from bench.runs.records import rows_of
from bench.runs.tracker import Tracker

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class RunKey:
    """Where a run belongs. The path of its folder, and the columns that name it in tables."""

    method: str
    task: str
    model: str
    variant: str
    seed: int

    def __str__(self) -> str:
        return f"{self.method}/{self.task}/{self.model}/{self.variant}/seed{self.seed}"

    def folder(self, results: Path) -> Path:
        return results / "runs" / self.method / self.task / self.model / self.variant / f"seed{self.seed}"

    def evaluation_folder(self, evaluation: str, *, task: str) -> str:
        """Its name in the run's folder. `task` is the run's own, or another that trains on the run's problems."""
        return evaluation if task == self.task else f"{task}.{evaluation}"


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """training.json: that training has finished, and what it cost."""

    usage: dict[str, int]  # bench.rollout.Usage
    seconds: float  # of the process that finished it


class Run:
    """One locked folder, from `Run.lock`; what training and evaluation may write."""

    def __init__(self, key: RunKey, folder: Path) -> None:
        self.key = key
        self.folder = folder
        self.tracker = Tracker(folder / "train.jsonl", label=str(key))

    @staticmethod
    @contextmanager
    def lock(key: RunKey, results: Path, config: Mapping[str, Any]) -> Iterator[Run]:
        """Hold the folder while the context lasts.

        Raises ValueError if another process holds it or another configuration made it, and where it cannot be written.
        """
        folder = key.folder(results)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / LOCK).touch()
        except OSError as error:
            raise ValueError(not_writable(folder, error)) from None
        with locked(folder):
            check_config(folder, config)
            if not has_produced(folder):
                for other in ("inputs.json", "sessions.jsonl", "wandb/id"):
                    (folder / other).unlink(missing_ok=True)
            write_file(folder / "config.json", json.dumps(config, indent=2, sort_keys=True).encode())
            run = Run(key, folder)
            run.delete_leftovers()
            yield run

    @staticmethod
    def check(key: RunKey, results: Path, config: Mapping[str, Any]) -> None:
        """Raise the errors that `lock` would, as far as they show without locking."""
        try:
            results.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=results):
                pass
        except OSError as error:
            raise ValueError(not_writable(results, error)) from None
        check_config(key.folder(results), config)
        check_not_held(key.folder(results))

    def bind(self, inputs: Mapping[str, Any]) -> None:
        """Note what the run is made from; raises ValueError where the folder was made from something else.

        `inputs` maps "weights" and "problems" to plain data that says what they hold.
        """
        path = self.folder / "inputs.json"
        recorded = _read_json(path)
        if recorded is None:
            write_file(path, json.dumps(inputs, indent=2).encode())
            return
        others = [name for name in inputs if inputs[name] != recorded.get(name)]
        if others:
            hint = "model.name=<name>" if others == ["weights"] else "variant=<name>"
            raise ValueError(
                f"{self.folder} was made from other {' and '.join(others)} than what is there now (its inputs.json "
                f"says from which); set {hint} to keep both, or delete that folder"
            )

    def log(self, **row: Any) -> None:
        self.tracker.log(**row)

    @property
    def weights(self) -> Path:
        return self.folder / "weights"

    @property
    def training(self) -> TrainingRecord | None:
        """What training recorded when it finished; None before."""
        record = _read_json(self.folder / "training.json")
        return None if record is None else TrainingRecord(**record)

    def finish_training(self, save: Callable[[Path], None], record: TrainingRecord) -> None:
        """Write the weights, then the record that says so; drop what only training needs."""
        write_folder(self.weights, save)
        self.tracker.sync()
        write_file(self.folder / "training.json", json.dumps(asdict(record), indent=2).encode())
        self.delete_leftovers()

    def delete_leftovers(self) -> None:
        """What finished training and evaluations were made from; a kill may have come between record and deletion."""
        leftovers = [manifest.parent / "parts" for manifest in self.folder.glob("*/manifest.json")]
        if self.training is not None:
            leftovers += [self.folder / name for name in ("state", "best", "collected", "stages")]
        for leftover in leftovers:
            shutil.rmtree(leftover, ignore_errors=True)

    def best_weights(self, stage: str, step: int) -> Path:
        """Where a stage keeps the weights of its best step so far; gone once training has finished."""
        return self.folder / "best" / stage / f"step{step}"

    def save_best(self, stage: str, step: int, save: Callable[[Path], None]) -> None:
        """They stand beside the best before them, until a checkpoint has turned to them and calls `keep_best`."""
        write_folder(self.best_weights(stage, step), save)

    def keep_best(self, stage: str, step: int) -> None:
        for other in (self.folder / "best" / stage).iterdir():
            if other != self.best_weights(stage, step):
                shutil.rmtree(other)

    def stage_weights(self, stage: str) -> Path:
        """Where the weights that a stage ended with wait for a later stage that starts from them."""
        return self.folder / "stages" / stage

    def save_stage_weights(self, stage: str, save: Callable[[Path], None]) -> None:
        write_folder(self.stage_weights(stage), save)

    def collected(self, stage: str) -> Path:
        """Where the conversations that a stage samples wait to be trained on; gone once training has finished."""
        return self.folder / "collected" / stage

    def save_training_data(self, stage: str, episodes: Sequence[Episode], *, num_attempts: int) -> None:
        """The conversations that a method imitates, in the rows of an evaluation: the paper's Figures 4b and 4c."""
        path = self.folder / "training_data" / f"{stage.replace('/', '_')}.parquet"
        starts = range(0, len(episodes), _ROWS_AT_ONCE)
        chunks = (episodes[start : start + _ROWS_AT_ONCE] for start in starts)
        write_rows(path, (rows_of(chunk, num_attempts=num_attempts) for chunk in chunks))

    @property
    def progress(self) -> dict[str, Any] | None:
        """The newest complete checkpoint's record; its files are in `state_folder`."""
        return _read_json(self.folder / "state" / "progress.json")

    @property
    def state_folder(self) -> Path:
        progress = self.progress
        assert progress is not None, "there is no checkpoint"
        return self.folder / "state" / progress["files"]

    def save_progress(self, save: Callable[[Path], None], record: Mapping[str, Any], *, update: int) -> None:
        """A checkpoint: its files go to a new folder, then progress.json turns to it, then older folders go."""
        state = self.folder / "state"
        files = f"update{update}"
        write_folder(state / files, save)
        self.tracker.sync()
        write_file(state / "progress.json", json.dumps({**record, "files": files}).encode())
        for old in state.iterdir():
            if old.is_dir() and old.name != files:
                shutil.rmtree(old)

    def manifest(self, evaluation_folder: str) -> Manifest | None:
        """What a finished evaluation recorded; None if it has not finished."""
        return read_manifest(self.folder / evaluation_folder)

    def parts(self, evaluation_folder: str, made_from: Mapping[str, Any]) -> Parts:
        """Where an evaluation that is under way collects its conversations; `made_from` says what they depend on."""
        return Parts(self.folder / evaluation_folder / "parts", made_from)

    def join_parts(self, evaluation_folder: str, parts: Parts) -> pd.DataFrame:
        """Write an evaluation's files; the rows without their answers, which are long."""
        folder = self.folder / evaluation_folder
        write_rows(folder / "episodes.parquet", parts.rows())
        frame = read_without_answers(folder / "episodes.parquet")
        write_file(folder / "transcripts.jsonl.gz", parts.transcripts())
        return frame

    def finish_evaluation(self, parts: Parts, manifest: Manifest) -> None:
        """To be called when the parts are joined: with the manifest the evaluation is finished."""
        folder = self.key.evaluation_folder(manifest.evaluation, task=manifest.task["name"])
        write_manifest(self.folder / folder, manifest)
        parts.delete()


def _read_json(path: Path) -> Any:
    """None if the file is not there; a file that is there is complete, because it was renamed into place."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
