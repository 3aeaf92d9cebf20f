"""An evaluation: what is requested, and the sampling of it, part by part."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.episode import SamplingParams
from bench.models.interface import Sampler
from bench.rollout import NextTurn, RolloutWorker
from bench.runs.folder import Run
from bench.runs.parts import PartCost, Parts
from bench.runs.tracking import utc_now
from bench.status import Work

_PROBLEMS_AT_ONCE = 256  # per rollout: enough to fill a batch, few enough that the progress bar moves
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


def evaluate(
    run: Run,
    folder: str,
    evaluation: Evaluation,
    rollouts: RolloutWorker,
    sampler: Sampler,
    *,
    seed_key: str,
    next_turn: NextTurn,
    made_from: Mapping[str, Any],
) -> Parts:
    """Sample what is not on disk yet, a part at a time; parts made from anything but `made_from` are deleted.

    `folder` is the evaluation's, in the run's.
    """
    problems = rollouts.task.problems(evaluation.split)
    prompts = {problem.id: rollouts.task.prompt(problem) for problem in problems}
    at_once = max(1, min(_PROBLEMS_AT_ONCE, _CONVERSATIONS_AT_ONCE // evaluation.num_samples))
    progress = run.tracker.progress(folder, total=len(problems), work=Work.evaluate)
    parts = run.parts(folder, {"at_once": at_once, **made_from})
    for first in range(0, len(problems), at_once):
        part = problems[first : first + at_once]
        if not parts.take_next():
            began, start, counting = time.monotonic(), utc_now(), rollouts.without_usage()
            episodes = counting.rollout(
                sampler,
                part,
                next_turn=next_turn,
                num_attempts=evaluation.num_attempts,
                sampling=evaluation.sampling,
                num_samples=evaluation.num_samples,
                seed_key=seed_key,
            )
            cost = PartCost(
                start, time.monotonic() - began, counting.usage.sampled_tokens, counting.usage.prompt_tokens
            )
            parts.write_next(episodes, prompts, cost, num_attempts=evaluation.num_attempts)
        progress.advance(len(part))
    progress.close()
    return parts
