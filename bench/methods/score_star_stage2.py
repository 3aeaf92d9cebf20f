"""SCoRe's Stage I, then STaR in place of Stage II's reinforcement learning (the paper's Table 4)."""

from dataclasses import dataclass

from bench.methods.interface import Method
from bench.methods.score import stage1, stage1_steps
from bench.methods.star import star_iterations
from bench.tasks.interface import Task
from bench.training.config import Training
from bench.training.stages import Stage


@dataclass(kw_only=True)
class ScoreStarStage2(Method):
    """Every iteration of STaR starts from Stage I's weights: the base model's would throw Stage I away."""

    num_iterations: int  # of STaR
    keep_correct: bool  # also keep conversations whose first attempt is correct: the paper's D+, otherwise D

    def __post_init__(self) -> None:
        if self.num_iterations < 1:
            raise ValueError(f"method.num_iterations must be at least 1, not {self.num_iterations}")

    def stages(self, task: Task, training: Training) -> list[Stage]:
        first = stage1(training, num_steps=stage1_steps(training))
        if not 0 < first.num_steps < training.rl.num_steps:
            raise ValueError(
                f"training.stage1_fraction={training.stage1_fraction} leaves one of the two stages without steps; set "
                "it between 0 and 1"
            )
        iterations = star_iterations(
            task,
            training,
            num_iterations=self.num_iterations,
            keep_correct=self.keep_correct,
            start_from=first.name,
            num_steps=training.rl.num_steps - first.num_steps,
        )
        return [first, *iterations]
