"""What a method is: one dataclass whose fields are its hyperparameters, with defaults for what most methods share."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.episode import Dialogue, Turn
from bench.tasks.interface import Task
from bench.training.config import Training
from bench.training.stages import Stage


@dataclass(kw_only=True)
class Method:
    """A way to make a model correct itself. It never evaluates itself, and holds no model."""

    def stages(self, task: Task, training: Training) -> Sequence[Stage]:  # noqa: ARG002  of those that train
        """What training is, as data; none for a method that only prompts.

        It is called while planning: what it reads of `training` is what the method depends on.
        """
        return ()

    def next_turn(self, task: Task, dialogue: Dialogue) -> Turn | None:  # noqa: ARG002  of those that look
        """What the user says after the last reply, in training and in evaluation; None ends the conversation early.

        By default the task's request for a correction. Whoever samples stops after the attempts that it wants.
        """
        return Turn(task.correction)


def follow_up_turns(method: Method, task: Task, *, num_attempts: int) -> tuple[Turn, ...]:
    """What the user says in a conversation of `num_attempts` attempts whose replies are all empty.

    With it a conversation's length is estimated before anything is sampled.
    """
    turns: list[Turn] = []
    dialogue = Dialogue(question="", kinds=(Turn("").asks_for,), texts=("",))
    while dialogue.num_attempts < num_attempts and (turn := method.next_turn(task, dialogue)):
        turns.append(turn)
        dialogue = Dialogue("", (*dialogue.kinds, turn.asks_for), (*dialogue.texts, ""))
    return tuple(turns)
