"""An evaluation: what is asked for, and the playing of it, part by part."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.episode import SamplingParams, Turn
from bench.models.interface import Sampler
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.runs.parts import Parts
from bench.runs.tracking import utc_now
from bench.status import Work

_PROBLEMS_AT_ONCE = 256  # per call of play(): enough to fill a batch, few enough that the progress bar moves
_CONVERSATIONS_AT_ONCE = 4096  # and few enough for memory where each problem has many samples


@dataclass(kw_only=True)
class Evaluation:
    """One way of measuring a trained model."""

    split: str = "test"  # train, dev or test
    num_attempts: int = 2  # replies of a conversation that are graded
    num_samples: int = 1  # conversations per problem
    sampling: SamplingParams

    def __post_init__(self) -> None:
        for count in ("num_attempts", "num_samples"):
            if getattr(self, count) < 1:
                raise ValueError(f"evaluation {count} must be at least 1, not {getattr(self, count)}")
        if self.sampling.temperature == 0 and self.num_samples > 1:
            raise ValueError("greedy decoding gives the same conversation every time: num_samples must be 1")


def play_evaluation(
    run: Run,
    name: str,
    evaluation: Evaluation,
    player: RolloutWorker,
    sampler: Sampler,
    *,
    script: Sequence[Turn],
    made_from: Mapping[str, Any],
) -> Parts:
    """Play what is not on disk yet, a part at a time; parts that were made from anything but `made_from` are deleted.

    `script` is what the user says for one more attempt.
    """
    problems = player.task.problems(evaluation.split)
    prompts = {problem.id: player.task.prompt(problem) for problem in problems}
    at_once = max(1, min(_PROBLEMS_AT_ONCE, _CONVERSATIONS_AT_ONCE // evaluation.num_samples))
    progress = run.tracker.progress(name, total=len(problems), work=Work.evaluate)
    parts = run.parts(name, {"at_once": at_once, **made_from})
    for first in range(0, len(problems), at_once):
        part = problems[first : first + at_once]
        if not parts.take_next():
            began, start, playing = time.monotonic(), utc_now(), player.without_usage()
            episodes = playing.play(
                sampler,
                part,
                script=tuple(script) * (evaluation.num_attempts - 1),
                sampling=evaluation.sampling,
                num_samples=evaluation.num_samples,
                label=f"evaluation/{name}",
            )
            cost = {"seconds": time.monotonic() - began, "sampled_tokens": playing.usage.sampled_tokens}
            parts.write_next(episodes, prompts, {"start": start, **cost})
        progress.advance(len(part))
    progress.close()
    return parts
