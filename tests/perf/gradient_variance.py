"""How noisy SCoRe's Stage II gradient is under its two baselines, on the same episodes.

    python tests/perf/gradient_variance.py results/runs/score_stage1/math/mini/main/seed*

For the weights of each run: the trace of the covariance of a step's gradient, of the whole update and of the second
attempt's reward alone, under `loo` and under `loo_residual`, and the ratio of the two. Both have the same expectation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import cast

import torch

from bench.catalogue import compose_plan
from bench.episode import Credit
from bench.methods.score import Baseline, Score
from bench.policies.learner import Learner
from bench.rollout import Player
from bench.training.reinforce import Stage, assign, problems_of_step

PARTS = ("the whole update", "the second attempt's reward")


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


def measure(weights: Path, *, num_batches: int, seed: int) -> dict[str, tuple[float, float]]:
    """Per part the traces under `loo` and under `loo_residual`."""
    plan = compose_plan(["method=score", "tracking=none"])
    experiment = plan.experiment
    rl, score = experiment.training.rl, cast(Score, experiment.method)
    learner = cast(Learner, experiment.model.build(experiment.task.canonical_id))
    learner.restore(weights)
    learner.begin(rl.optimizer, num_updates=1, kl_estimator=rl.kl_estimator)
    stages = {
        baseline: replace(score, baseline=baseline)._stages(experiment.task, num_steps=rl.num_steps, offline={})[-1]
        for baseline in Baseline
    }
    spreads = {(part, baseline): Spread() for part in PARTS for baseline in Baseline}
    with experiment.task.verifier(experiment.grading) as verifier:
        player = Player(experiment.task, verifier, seed=seed)
        problems = experiment.task.problems("train")
        for batch in range(num_batches):
            episodes = player.play(
                learner,
                problems_of_step(problems, batch, size=rl.problems_per_step, seed=seed),
                script=experiment.task.script(),
                sampling=rl.sampling,
                num_samples=rl.samples_per_problem,
                label=f"variance/{batch}",
            )
            for baseline, stage in stages.items():
                credits = assign(episodes, cast(Stage, stage), samples=rl.samples_per_problem)
                spreads[PARTS[0], baseline].add(gradient(learner, credits))
                second = [Credit(credit.episode, (0.0, credit.weights[1]), (0.0, 0.0)) for credit in credits]
                spreads[PARTS[1], baseline].add(gradient(learner, second))
    return {part: (spreads[part, Baseline.loo].trace, spreads[part, Baseline.loo_residual].trace) for part in PARTS}


def gradient(learner: Learner, credits: Sequence[Credit]) -> torch.Tensor:
    learner.model.zero_grad(set_to_none=True)
    learner.backward(credits)
    return torch.cat([each.grad.flatten() for each in learner.model.parameters() if each.grad is not None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders with weights")
    parser.add_argument("--batches", type=int, default=32, help="steps' worth of episodes per run")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, list[float]] = {part: [] for part in PARTS}
    for number, run in enumerate(asked.runs):
        for part, (plain, residual) in measure(run / "weights", num_batches=asked.batches, seed=number).items():
            ratios[part].append(plain / residual)
            print(f"{run}: {part}: loo {plain:.4g}, loo_residual {residual:.4g}, ratio {plain / residual:.2f}")
    for part, found in ratios.items():
        spread = f" (standard deviation {stdev(found):.2f})" if len(found) > 1 else ""
        print(f"{part}: loo has {fmean(found):.2f} times the variance of loo_residual{spread}, {len(found)} runs")


if __name__ == "__main__":
    main()
