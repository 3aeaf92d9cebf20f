"""Conversations for a supervised method to learn from: played in chunks, each on disk before the next one starts.

Only what a method wants of a chunk is kept, and it is read back from the disk when it is trained on, so memory holds
one chunk and one batch however many conversations there are. A killed collection goes on with the next chunk.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np

from bench.episode import Episode, Problem, SamplingParams, TrainingSample
from bench.files import write_file
from bench.models.interface import Policy
from bench.rollout import RolloutWorker, Usage, request_seed
from bench.runs.fingerprints import digest, problem_contents
from bench.runs.folder import Run
from bench.status import Work
from bench.training.episode_file import read_episode, write_episodes

CONVERSATIONS_AT_ONCE = 4096

T = TypeVar("T")
Choose = Callable[[Sequence[Episode]], Sequence[Episode]]


def collect(
    policy: Policy,
    player: RolloutWorker,
    run: Run,
    *,
    label: str,
    sampling: SamplingParams,
    num_conversations: int,
    choose: Choose,
) -> Collection:
    """Play the task's script on the training problems; what `choose` takes from each chunk is kept.

    Each problem is sampled equally often, and a random part of them once more where `num_conversations` is no multiple
    of their number. `choose` sees all conversations of a problem together, and is a function of them alone.
    """
    problems = player.task.problems("train")
    samples = samples_of(problems, num_conversations, seed=request_seed(player.seed, label, "once more"))
    num_samples = max(samples.values())
    at_once = max(1, CONVERSATIONS_AT_ONCE // num_samples)
    progress = run.tracker.progress(label, total=num_conversations, work=Work.sample)
    chunks = []
    for start in range(0, len(problems), at_once):
        part = problems[start : start + at_once]
        path = run.collected(label) / f"{start}-{start + len(part)}.json"
        only = [(problem.id, sample) for problem in part for sample in range(samples[problem.id])]
        asked = _asked(player, part, sampling=sampling, played=only)
        chunk = _read_chunk(path, asked)
        if chunk is None:
            playing = player.without_usage()
            episodes = playing.play(
                policy,
                part,
                script=player.task.script(),
                sampling=sampling,
                num_samples=num_samples,
                only=set(only),
                label=label,
            )
            lengths = write_episodes(_episodes_of(path), choose(episodes))
            record = {"asked": asked, "spent": asdict(playing.usage), "lengths": lengths}
            write_file(path, json.dumps(record).encode())
            chunk = _Chunk(path, playing.usage, lengths)
        player.usage.add(chunk.spent)
        chunks.append(chunk)
        progress.advance(len(only))
    progress.close()
    return Collection(chunks)


def samples_of(problems: Sequence[Problem], num_conversations: int, *, seed: int) -> dict[str, int]:
    """How often each problem, by its id, is sampled: equally often, and a random part of them once more."""
    samples, rest = divmod(num_conversations, len(problems))
    again = set(random.Random(seed).sample(range(len(problems)), rest))
    return {problem.id: samples + (place in again) for place, problem in enumerate(problems)}


class _Chunk(NamedTuple):
    """What has been kept of some problems' conversations: `path` is the record that says that the chunk is whole."""

    path: Path
    spent: Usage
    lengths: Sequence[int]  # bytes of each episode in the file beside the record


def _asked(
    player: RolloutWorker, problems: Sequence[Problem], *, sampling: SamplingParams, played: Sequence[tuple[str, int]]
) -> dict[str, Any]:
    """What a chunk's conversations depend on; one that was made from anything else is made again.

    The weights are not among it: the folder's name is the stage, whose weights are those that a resumed run comes to.
    """
    return {
        "seed": player.seed,
        "problems": problem_contents(problems),
        "prompts": digest([player.task.prompt(problem) for problem in problems]),
        "script": [asdict(turn) for turn in player.task.script()],
        "stop": list(player.task.stop_strings),
        "sampling": asdict(sampling),
        "played": digest(played),
    }


def _read_chunk(path: Path, asked: Mapping[str, Any]) -> _Chunk | None:
    if not path.exists():
        return None
    record = json.loads(path.read_bytes())
    if record["asked"] != json.loads(json.dumps(asked)):
        return None
    return _Chunk(path, Usage(**record["spent"]), record["lengths"])


def _episodes_of(path: Path) -> Path:
    return path.with_suffix(".jsonl.gz")


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
    """Episodes on disk, in the order in which they were collected; 8 bytes of memory each."""

    def __init__(self, chunks: Sequence[_Chunk]) -> None:
        self._paths = [_episodes_of(chunk.path) for chunk in chunks]
        self._ends = [np.cumsum(chunk.lengths, dtype=np.int64) for chunk in chunks]  # in bytes, of each episode
        self._counts = list(accumulate((len(ends) for ends in self._ends), initial=0))
        super().__init__(self._counts[-1], self._read)

    def _read(self, index: int) -> Episode:
        number = bisect_right(self._counts, index) - 1
        place, ends = index - self._counts[number], self._ends[number]
        offset = int(ends[place - 1]) if place else 0
        return read_episode(self._paths[number], offset=offset, length=int(ends[place]) - offset)


class TrainingSamples(_Lazy[TrainingSample]):
    """The credit of each episode of a collection."""

    def __init__(self, episodes: Sequence[Episode], credit: Callable[[Episode], TrainingSample]) -> None:
        super().__init__(len(episodes), lambda index: credit(episodes[index]))
