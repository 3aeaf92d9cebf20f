"""How far a run is: a bar or lines for whoever watches, and a listener for whoever estimates the time."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from tqdm import tqdm

from bench.status import Work

Planned = Mapping[tuple[Work, str], int]  # conversations of each kind of work in each phase, in the order of the phases


class Listener(Protocol):
    """Hears where a run is."""

    def __call__(self, phase: str, done: int, total: int, work: Work | None) -> None:
        """`done` of the phase's `total` units are done, and which work that is; None where nothing can be counted."""
        ...

    def expect(self, planned: Planned) -> None:
        """What training is about to do."""
        ...


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
            line = "  ".join((self._label, f"{self._done}/{self._total}", left, *map(" ".join, numbers.items())))
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
