"""Where the numbers of a run go while it runs: `train.jsonl` always; W&B and a progress bar as mirrors of it."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from bench.files import sync, write_file

_LOG = logging.getLogger(__name__)

TENTHS = np.linspace(0, 1, 11)  # the bins of every histogram of fractions, so that runs can be compared


def utc_now() -> str:
    """As 2025-01-31T12:00:00.123+00:00."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Tracking(Enum):
    """Which mirror a run has besides its own files."""

    wandb = "wandb"  # online when there is an account, offline otherwise
    none = "none"


Listener = Callable[[str, int, int], None]  # a phase, how many of its units are done, and of how many


class Mirror(Protocol):
    """A copy of the run's numbers elsewhere; losing it loses nothing."""

    def log(self, row: Mapping[str, Any]) -> None: ...

    def alert(self, title: str, text: str) -> None: ...

    def summarise(
        self,
        metrics: Mapping[str, float],
        *,
        histograms: Mapping[str, Sequence[float]],
        transcripts: Sequence[Mapping[str, Any]],
    ) -> None:
        """One evaluation: its metrics, distributions of fractions and some transcripts to read."""
        ...

    def close(self) -> None: ...


class Tracker:
    """The log of one run. Rows are JSON objects with an `update` number and a `time` (UTC), flushed as they come."""

    def __init__(self, path: Path, *, label: str) -> None:
        self.label = label
        self.mirror: Mirror | None = None
        self.listener: Listener | None = None
        self._path = path

    def log(self, **row: Any) -> None:
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"time": utc_now(), **row}) + "\n")
        if self.mirror is not None:
            self.mirror.log(row)

    def alert(self, title: str, text: str) -> None:
        """Shout where people look: W&B sends its alerts on, to mail or chat."""
        if self.mirror is not None:
            self.mirror.alert(title, text)

    def sync(self) -> None:
        """Flush the rows to the disk: a checkpoint must not outlive them."""
        if self._path.exists():
            sync(self._path)

    def forget_after(self, update: int, *, stage: str | None = None) -> None:
        """Drop rows past `update`, those of `stage`, and a torn line: they are about to be written again."""
        if not self._path.exists():
            return
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row["update"] <= update and (stage is None or row.get("stage") != stage):
                kept.append(line + "\n")
        write_file(self._path, "".join(kept).encode())

    def summarise(
        self,
        metrics: Mapping[str, float],
        *,
        histograms: Mapping[str, Sequence[float]],
        transcripts: Sequence[Mapping[str, Any]],
    ) -> None:
        if self.mirror is not None:
            self.mirror.summarise(metrics, histograms=histograms, transcripts=transcripts)

    def progress(self, what: str, *, total: int, start: int = 0) -> Progress:
        progress = Progress(f"{self.label} {what}", total=total, start=start)
        if self.listener is not None:
            listener = self.listener
            progress.listener = lambda done: listener(what, done, total)
            listener(what, start, total)
        return progress

    def phase(self, what: str) -> None:
        """Say what begins, where nothing can be counted."""
        if self.listener is not None:
            self.listener(what, 0, 0)

    def close(self) -> None:
        if self.mirror is not None:
            self.mirror.close()


class Progress:
    """A bar with the time left on a terminal; elsewhere, or beside other runs, a plain line now and then."""

    def __init__(self, label: str, *, total: int, start: int = 0, seconds_between_lines: float = 15.0) -> None:
        self._label = label
        self._total = total
        self._done = self._start = start
        self._between = seconds_between_lines
        self._began = self._last_line = time.monotonic()
        self.listener: Callable[[int], None] | None = None
        self._bar = None
        if sys.stderr.isatty() and not os.environ.get("BENCH_PLAIN_PROGRESS"):
            self._bar = tqdm(total=total, initial=start, desc=label, dynamic_ncols=True, leave=False)

    def advance(self, amount: int = 1, *, shown: Mapping[str, float] | None = None) -> None:
        self._done += amount
        if self.listener is not None:
            self.listener(self._done)
        numbers = {name: f"{value:.3g}" for name, value in (shown or {}).items()}
        if self._bar is not None:
            self._bar.set_postfix(numbers, refresh=False)
            self._bar.update(amount)
            return
        now = time.monotonic()
        if now - self._last_line >= self._between or self._done >= self._total:
            self._last_line = now
            pace = (now - self._began) / max(1, self._done - self._start)
            left = f"{(self._total - self._done) * pace:.0f} s left"
            told = "  ".join((self._label, f"{self._done}/{self._total}", left, *map(" ".join, numbers.items())))
            print(told, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class WandbMirror:
    """Mirrors a run to Weights & Biases, offline where there is no account."""

    def __init__(self, wandb: ModuleType, run: Any) -> None:
        self._wandb = wandb
        self._run = run

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log({name: value for name, value in row.items() if name != "alarms"})

    def alert(self, title: str, text: str) -> None:
        self._run.alert(title=title, text=text, level="WARN", wait_duration=0)

    def summarise(
        self,
        metrics: Mapping[str, float],
        *,
        histograms: Mapping[str, Sequence[float]],
        transcripts: Sequence[Mapping[str, Any]],
    ) -> None:
        logged: dict[str, Any] = dict(metrics)
        for name, values in histograms.items():
            if len(values):
                logged[name] = self._wandb.Histogram(np_histogram=np.histogram(values, TENTHS))
        if transcripts:
            columns = list(transcripts[0])
            rows = [[row[column] for column in columns] for row in transcripts]
            logged["eval/transcripts"] = self._wandb.Table(columns=columns, data=rows)
        self._run.log(logged)

    def close(self) -> None:
        self._run.finish()


def open_wandb(folder: Path, *, config: Mapping[str, Any], group: str, name: str) -> WandbMirror | None:
    """A mirror in `folder`/wandb; None, with a warning, where W&B cannot start: a run never dies of its mirror."""
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "self-correction-bench"),
            dir=folder,
            config=dict(config),
            group=group,
            name=name,
            mode=mode,  # pyright: ignore[reportArgumentType]  W&B itself refuses an unknown WANDB_MODE
            settings=wandb.Settings(silent=True, console="off"),
        )
    except (wandb.Error, OSError) as error:
        _LOG.warning("W&B could not start and is left out (%s); train.jsonl is complete without it", error)
        return None
    run.define_metric("update")
    for of_training in ("train/*", "probe/*", "selection/*"):
        run.define_metric(of_training, step_metric="update")
    return WandbMirror(wandb, run)
