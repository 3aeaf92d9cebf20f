"""Conversations for a supervised method to learn from: sampled in chunks, each on disk before the next one starts.

Only what a method wants of a chunk is kept, and it is read back from the disk when it is trained on, so memory holds
one chunk and one batch however many conversations there are. A killed collection goes on with the next chunk.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from bench.episode import Episode, Problem
from bench.files import write_file
from bench.rollout import Usage, request_seed
from bench.runs.fingerprints import digest, problem_contents
from bench.status import Work
from bench.training.episode_file import read_episode, write_episodes
from bench.training.stages import Imitate
from bench.training.trainer import Trainer

CONVERSATIONS_AT_ONCE = 4096


def collect(trainer: Trainer, stage: Imitate) -> Collection:
    """Sample on the training problems with the policy as it is; what the stage chooses of each chunk is kept.

    Each problem is sampled equally often, and a random part of them once more where `num_conversations` is no multiple
    of their number. `stage.choose` sees all conversations of a problem together, and is a function of them alone.
    """
    rollouts, run, seed_key = trainer.rollouts, trainer.run, stage.seed_key
    problems = rollouts.task.problems("train")
    again_seed = request_seed(rollouts.seed, seed_key, "once more")
    samples = samples_of(problems, stage.num_conversations, seed=again_seed)
    num_samples = max(samples.values())
    at_once = max(1, CONVERSATIONS_AT_ONCE // num_samples)
    progress = run.tracker.progress(seed_key, total=stage.num_conversations, work=Work.sample)
    chunks = []
    for start in range(0, len(problems), at_once):
        part = problems[start : start + at_once]
        path = run.collected(seed_key) / f"{start}-{start + len(part)}.json"
        only = [(problem.id, sample) for problem in part for sample in range(samples[problem.id])]
        made_from = _made_from(trainer, stage, part, sampled=only)
        chunk = _read_chunk(path, made_from)
        if chunk is None:
            counting = rollouts.without_usage()
            episodes = counting.rollout(
                trainer.policy,
                part,
                next_turn=trainer.next_turn,
                num_attempts=stage.num_attempts,
                sampling=trainer.config.sft.sampling,
                num_samples=num_samples,
                only=set(only),
                seed_key=seed_key,
            )
            lengths = write_episodes(_episodes_of(path), stage.choose(episodes, rollouts.seed))
            record = {"made_from": made_from, "usage": asdict(counting.usage), "lengths": lengths}
            write_file(path, json.dumps(record).encode())
            chunk = _Chunk(path, counting.usage, lengths)
        rollouts.usage.add(chunk.usage)
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
    usage: Usage
    lengths: Sequence[int]  # bytes of each episode in the file beside the record


def _made_from(
    trainer: Trainer, stage: Imitate, problems: Sequence[Problem], *, sampled: Sequence[tuple[str, int]]
) -> dict[str, Any]:
    """What a chunk's conversations depend on; one that was made from anything else is made again.

    The weights are not among it: the folder's name is the stage, whose weights are those that a resumed run comes to.
    Nor is the method, whose configuration the run folder is bound to.
    """
    task = trainer.rollouts.task
    return {
        "seed": trainer.rollouts.seed,
        "problems": problem_contents(problems),
        "prompts": digest([task.prompt(problem) for problem in problems]),
        "correction": task.correction,
        "stop": list(task.stop_strings),
        "sampling": asdict(trainer.config.sft.sampling),
        "sampled": digest(sampled),
        "num_attempts": stage.num_attempts,
    }


def _read_chunk(path: Path, made_from: Mapping[str, Any]) -> _Chunk | None:
    if not path.exists():
        return None
    record = json.loads(path.read_bytes())
    if record["made_from"] != json.loads(json.dumps(made_from)):
        return None
    return _Chunk(path, Usage(**record["usage"]), record["lengths"])


def _episodes_of(path: Path) -> Path:
    return path.with_suffix(".jsonl.gz")


class Collection(Sequence[Episode]):
    """Episodes on disk, in the order in which they were collected; 8 bytes of memory each."""

    def __init__(self, chunks: Sequence[_Chunk]) -> None:
        self._paths = [_episodes_of(chunk.path) for chunk in chunks]
        self._ends = [np.cumsum(chunk.lengths, dtype=np.int64) for chunk in chunks]  # in bytes, of each episode
        self._counts = list(accumulate((len(ends) for ends in self._ends), initial=0))

    def __len__(self) -> int:
        return self._counts[-1]

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> list[Episode]: ...
    def __getitem__(self, index: int | slice) -> Episode | list[Episode]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        index = range(len(self))[index]  # raises IndexError past the end
        number = bisect_right(self._counts, index) - 1
        place, ends = index - self._counts[number], self._ends[number]
        offset = int(ends[place - 1]) if place else 0
        return read_episode(self._paths[number], offset=offset, length=int(ends[place]) - offset)
