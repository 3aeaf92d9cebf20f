"""A sign of life while a model samples: a line after five seconds, then one every ten, from a thread of its own."""

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

_FIRST_SECONDS = 5.0
_SECONDS_BETWEEN = 10.0


@dataclass(slots=True)
class Pace:
    """How far sampling is; the loop counts and nothing else, so that it costs no time there."""

    num_rows: int
    max_tokens: int  # per row
    rows_done: int = 0
    tokens_done: int = 0  # of the rows that ended
    tokens: int = 0

    def line(self, seconds: float) -> str:
        """The time left is for rows that become as long as they may: those that end first are no guide, being short."""
        rate = self.tokens / seconds if seconds > 0 else 0.0
        expected = self.tokens_done + (self.num_rows - self.rows_done) * self.max_tokens - self.tokens
        left = f"up to {expected / rate:.0f} s left" if rate else "reading the prompts"
        return (
            f"sampling  {self.rows_done}/{self.num_rows} replies  {self.tokens:,} tokens  {rate:.0f} tokens/s  {left}"
        )


def _say(line: str) -> None:
    name = multiprocessing.current_process().name  # the run's, where the pool started it
    tqdm.write(f"{name} {line}" if name != "MainProcess" else line, file=sys.stderr)  # leaves a bar whole
    sys.stderr.flush()


@contextmanager
def shown(
    pace: Pace,
    *,
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    clock: Callable[[], float] = time.monotonic,
    say: Callable[[str], None] = _say,
) -> Iterator[None]:
    """Say where `pace` is while the block runs, also while one forward over long prompts takes its time."""
    over, began = threading.Event(), clock()

    def run() -> None:
        seconds = _FIRST_SECONDS
        while not wait(over, seconds):
            say(pace.line(clock() - began))
            seconds = _SECONDS_BETWEEN

    thread = threading.Thread(target=run, daemon=True, name="pace")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
