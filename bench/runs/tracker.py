"""Where the numbers of a run go while it runs: `train.jsonl` always, and W&B as a copy of it."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.files import sync, write_file
from bench.runs.progress import Listener, Planned, Progress
from bench.runs.tracking import WandbMirror, one_line, utc_now
from bench.status import Work

_LOG = logging.getLogger(__name__)


class Tracker:
    """The log of one run. Rows are JSON objects with an `update` number and a `time` (UTC), flushed as they come."""

    def __init__(self, path: Path, *, label: str) -> None:
        self.label = label
        self.mirror: WandbMirror | None = None
        self.listener: Listener | None = None
        self._path = path

    def log(self, **row: Any) -> None:
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"time": utc_now(), **row}) + "\n")
        self._mirror(lambda mirror: mirror.log(row))

    def alert(self, title: str, text: str) -> None:
        """Shout where people look: W&B sends its alerts on, to mail or chat."""
        self._mirror(lambda mirror: mirror.alert(title, text))

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
        transcripts: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> None:
        self._mirror(lambda mirror: mirror.summarise(metrics, histograms=histograms, transcripts=transcripts))

    def progress(self, what: str, *, total: int, work: Work, start: int = 0) -> Progress:
        progress = Progress(f"{self.label} {what}", total=total, start=start)
        if self.listener is not None:
            listener = self.listener
            progress.listener = lambda done: listener(what, done, total, work)
            listener(what, start, total, work)
        return progress

    def expect(self, planned: Planned) -> None:
        if self.listener is not None:
            self.listener.expect(planned)

    def phase(self, what: str) -> None:
        """Say what begins, where nothing can be counted."""
        if self.listener is not None:
            self.listener(what, 0, 0, None)

    def close(self) -> None:
        self._mirror(lambda mirror: mirror.close())

    def _mirror(self, act: Callable[[WandbMirror], None]) -> None:
        """Whatever the mirror fails of, the run goes on without it, and says so once."""
        if self.mirror is None:
            return
        try:
            act(self.mirror)
        except Exception as error:
            _LOG.warning("the mirror of this run failed (%s); its own files are complete", one_line(error))
            self.mirror = None
