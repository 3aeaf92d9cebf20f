"""Self-Refine (Madaan et al. 2023): answer, critique the answer, answer again. Prompting only.

The paper gives no prompt for it; this project's is in
conf/method/self_refine.yaml. The critique is sampled and not graded.
"""

from dataclasses import dataclass

from bench.episode import ATTEMPT, Dialogue, Turn
from bench.methods.interface import Method
from bench.tasks.interface import Task


@dataclass(kw_only=True)
class SelfRefine(Method):
    """Differs from the base by the critique between two attempts."""

    critique: str  # asks for feedback; its reply is not an attempt
    refine: str  # asks for the next attempt; the task's own correction follows, for the form of the answer

    def next_turn(self, task: Task, dialogue: Dialogue) -> Turn:
        if dialogue.kinds[-1] == ATTEMPT:
            return Turn(self.critique, asks_for="critique")
        return Turn(f"{self.refine} {task.correction}".strip())
