"""Self-Refine (Madaan et al. 2023): answer, critique the answer, answer again. Prompting only.

The paper gives no prompt for it; ours stand in conf/method/self_refine.yaml. The critique is played, not scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.episode import Turn
from bench.models.interface import Policy
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.budget import Training


@dataclass(kw_only=True)
class SelfRefine:
    """Differs from the base by the critique between the two attempts."""

    trains: ClassVar[bool] = False

    critique: str  # asks for feedback; its reply is not an attempt
    refine: str  # asks for the second attempt; the task's own correction follows, for the form of the answer

    def script(self, task: Task) -> tuple[Turn, ...]:
        return (
            Turn(self.critique, graded=False),
            *(Turn(f"{self.refine} {turn.text}".strip()) for turn in task.script()),
        )

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None: ...
