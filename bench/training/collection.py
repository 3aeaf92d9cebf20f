"""Conversations for a supervised method to learn from: played in chunks, each on disk before the next one starts.

Only what a method wants of a chunk is kept, and it is read back from the disk when it is trained on, so memory holds
one chunk and one batch however many conversations there are. A killed collection goes on with the next chunk.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar, overload

from bench.episode import Credit, Episode, Sampling
from bench.files import write_file
from bench.policies.policy import Policy
from bench.results import Run
from bench.rollout import Ledger, Player

CONVERSATIONS_AT_ONCE = 4096
_LENGTH_BYTES = 8

T = TypeVar("T")
Choose = Callable[[Sequence[Episode]], Sequence[Episode]]


def collect(
    policy: Policy,
    player: Player,
    run: Run,
    *,
    label: str,
    sampling: Sampling,
    num_samples: int,
    choose: Choose,
) -> Collection:
    """Play the task's script on all training problems; what `choose` takes from each chunk is kept.

    `choose` sees all conversations of a problem together, and is a function of them alone.
    """
    problems = player.task.problems("train")
    at_once = max(1, CONVERSATIONS_AT_ONCE // num_samples)
    progress = run.tracker.progress(label, total=len(problems) * num_samples)
    paths = []
    for start in range(0, len(problems), at_once):
        chunk = problems[start : start + at_once]
        path = run.collected(label) / f"{num_samples}x{start}-{start + len(chunk)}.chunk"
        if not path.exists():
            playing = player.aside()
            episodes = playing.play(
                policy,
                chunk,
                script=player.task.script(),
                sampling=sampling,
                num_samples=num_samples,
                label=label,
            )
            _write_chunk(path, playing.ledger, choose(episodes))
        player.ledger.add(_ledger_of(path))
        paths.append(path)
        progress.advance(len(chunk) * num_samples)
    progress.close()
    return Collection(paths)


class _Lazy(Sequence[T]):
    """A sequence whose items are made each time that they are asked for."""

    def __init__(self, length: int, at: Callable[[int], T]) -> None:
        self._length = length
        self._at = at

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        numbers = range(self._length)[index]  # of an item or of several; raises IndexError past the end
        return self._at(numbers) if isinstance(numbers, int) else [self._at(number) for number in numbers]


class Collection(_Lazy[Episode]):
    """Episodes on disk, in the order in which they were collected."""

    def __init__(self, paths: Sequence[Path]) -> None:
        places = [(path, offset, length) for path in paths for offset, length in _records(path)[1:]]
        super().__init__(len(places), lambda index: _read(*places[index]))


class Credits(_Lazy[Credit]):
    """The credit of each episode of a collection."""

    def __init__(self, episodes: Sequence[Episode], credit: Callable[[Episode], Credit]) -> None:
        super().__init__(len(episodes), lambda index: credit(episodes[index]))


def _write_chunk(path: Path, spent: Ledger, episodes: Sequence[Episode]) -> None:
    write_file(path, _framed([asdict(spent), *episodes]))


def _framed(values: Sequence[object]) -> Iterator[bytes]:
    """Each value compressed, behind its length. Pickled: only the run that wrote a chunk reads it, then deletes it."""
    for value in values:
        packed = zlib.compress(pickle.dumps(value, protocol=5), level=1)
        yield len(packed).to_bytes(_LENGTH_BYTES)
        yield packed


def _records(path: Path) -> list[tuple[int, int]]:
    """Where each record of a chunk begins, and its length; the first one is the ledger."""
    places, end = [], path.stat().st_size
    with path.open("rb") as file:
        offset = 0
        while offset < end:
            file.seek(offset)
            length = int.from_bytes(file.read(_LENGTH_BYTES))
            places.append((offset + _LENGTH_BYTES, length))
            offset += _LENGTH_BYTES + length
    return places


def _read(path: Path, offset: int, length: int) -> Episode:
    with path.open("rb") as file:
        file.seek(offset)
        return pickle.loads(zlib.decompress(file.read(length)))


def _ledger_of(path: Path) -> Ledger:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES))
        return Ledger(**pickle.loads(zlib.decompress(file.read(length))))
