"""How noisy SCoRe's Stage II gradient is with and without a baseline, on the same episodes.

    python tests/perf/gradient_variance.py results/runs/score_stage1/mini_math/mini/main/seed*
    python tests/perf/gradient_variance.py --kl-baseline results/runs/score_stage1/mini_math/mini/main/seed*

For the weights of each run: the trace of the covariance of a step's gradient, and the ratio of two such traces whose
gradients have the same expectation. The first command compares the baselines `loo` and `loo_residual`, for the whole
update and for the second attempt's reward alone. The second compares the update without the KL's leave-one-out baseline
and with it, for the whole update and for the KL alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import cast
from unittest.mock import patch

import torch

from bench.episode import TrainingSample
from bench.launch.catalogue import compose_spec
from bench.methods.score import Baseline, Score
from bench.models.policy import TransformersPolicy
from bench.rollout import RolloutWorker
from bench.training.reinforce import problems_of_step, training_samples
from bench.training.stages import Reinforce

REWARD = ("the whole update", "the second attempt's reward")
KL = ("the whole update", "the KL")


class Spread:
    """The trace of a covariance, from vectors that come one by one."""

    def __init__(self) -> None:
        self.count, self.squares, self.total = 0, 0.0, torch.zeros(())

    def add(self, vector: torch.Tensor) -> None:
        self.count += 1
        self.squares += float(vector @ vector)
        self.total = self.total + vector

    @property
    def trace(self) -> float:
        mean = self.total / self.count
        return (self.squares - self.count * float(mean @ mean)) / (self.count - 1)


def measure(weights: Path, *, num_batches: int, seed: int, kl_baseline: bool) -> dict[str, tuple[float, float]]:
    """Per part the two traces that are compared."""
    experiment = compose_spec(["method=score", "tracking=none"]).experiment
    rl, score = experiment.training.rl, cast(Score, experiment.method)
    learner = cast(TransformersPolicy, experiment.model.build(experiment.task.canonical_id))
    learner.restore(weights)
    learner.begin(rl.optimizer, num_updates=1, kl_estimator=rl.kl_estimator)
    stages = [
        cast(Reinforce, replace(score, baseline=each).stages(experiment.task, experiment.training)[-1])
        for each in (Baseline.loo, Baseline.loo_residual)
    ]
    spreads = {part: (Spread(), Spread()) for part in (KL if kl_baseline else REWARD)}
    with experiment.task.verifier(experiment.grading) as verifier:
        rollouts = RolloutWorker(experiment.task, verifier, seed=seed)
        problems = experiment.task.problems("train")
        for batch in range(num_batches):
            episodes = rollouts.rollout(
                learner,
                problems_of_step(problems, batch, size=rl.problems_per_step, seed=seed),
                next_turn=partial(score.next_turn, experiment.task),
                num_attempts=2,
                sampling=rl.sampling,
                num_samples=rl.group_size,
                seed_key=f"variance/{batch}",
            )
            plain, residual = (training_samples(episodes, stage, group_size=rl.group_size) for stage in stages)
            if kl_baseline:
                for part, samples in zip(KL, (plain, without_rewards(plain)), strict=True):
                    with without_kl_baseline():
                        spreads[part][0].add(gradient(learner, samples))
                    spreads[part][1].add(gradient(learner, samples))
            else:
                for place, samples in enumerate((plain, residual)):
                    spreads[REWARD[0]][place].add(gradient(learner, samples))
                    spreads[REWARD[1]][place].add(gradient(learner, of_second_reward(samples)))
    return {part: (one.trace, other.trace) for part, (one, other) in spreads.items()}


def of_second_reward(samples: Sequence[TrainingSample]) -> list[TrainingSample]:
    return [TrainingSample(sample.episode, (0.0, sample.advantages[1]), (0.0, 0.0)) for sample in samples]


def without_rewards(samples: Sequence[TrainingSample]) -> list[TrainingSample]:
    return [TrainingSample(sample.episode, (0.0,) * len(sample.advantages), sample.kl_coefs) for sample in samples]


@contextmanager
def without_kl_baseline() -> Iterator[None]:
    with patch("bench.models.microbatches.others_mean", lambda values_N, **_: torch.zeros_like(values_N)):
        yield


def gradient(learner: TransformersPolicy, samples: Sequence[TrainingSample]) -> torch.Tensor:
    learner.model.zero_grad(set_to_none=True)
    learner.backward(samples)
    return torch.cat([each.grad.flatten() for each in learner.model.parameters() if each.grad is not None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders with weights")
    parser.add_argument("--batches", type=int, default=32, help="steps' worth of episodes per run")
    parser.add_argument("--kl-baseline", action="store_true", help="compare without the KL's baseline and with it")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    one, other = ("without", "with") if asked.kl_baseline else ("loo", "loo_residual")
    ratios: dict[str, list[float]] = {}
    for number, run in enumerate(asked.runs):
        found = measure(run / "weights", num_batches=asked.batches, seed=number, kl_baseline=asked.kl_baseline)
        for part, (noisy, quiet) in found.items():
            ratios.setdefault(part, []).append(noisy / quiet)
            print(f"{run}: {part}: {one} {noisy:.4g}, {other} {quiet:.4g}, ratio {noisy / quiet:.3f}")
    for part, found in ratios.items():
        spread = f" (standard deviation {stdev(found):.3f})" if len(found) > 1 else ""
        print(f"{part}: {one} has {fmean(found):.3f} times the variance of {other}{spread}, {len(found)} runs")


if __name__ == "__main__":
    main()
