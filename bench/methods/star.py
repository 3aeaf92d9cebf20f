"""STaR over two attempts (Zelikman et al. 2022; Singh et al. 2023 for the iterations): imitate what went well.

Conversations are sampled from the newest model; those that went from wrong to right are kept (D), with `keep_correct`
also those that were right throughout (D+); the model is fine-tuned on their second attempts. Each of the iterations
starts from the base model, as ReST^EM does; the paper does not say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.episode import Episode
from bench.methods.interface import Method
from bench.tasks.interface import Task
from bench.training.advantages import Row
from bench.training.config import Training
from bench.training.stages import BASE, PREVIOUS, Imitate, Stage


@dataclass(kw_only=True)
class Star(Method):
    """The paper's STaR; `continue_training` and `loss_on_first` are the other readings of its protocol."""

    num_iterations: int  # of sampling, keeping what succeeded, and imitating it
    keep_correct: bool  # also keep conversations whose first attempt is correct: the paper's D+, otherwise D
    continue_training: bool  # start an iteration from the last one's weights instead of the base model's
    loss_on_first: bool  # imitate both attempts, not only the second

    def __post_init__(self) -> None:
        if self.num_iterations < 1:
            raise ValueError(f"method.num_iterations must be at least 1, not {self.num_iterations}")

    def stages(self, task: Task, training: Training) -> list[Stage]:
        return star_iterations(
            task,
            training,
            num_iterations=self.num_iterations,
            keep_correct=self.keep_correct,
            loss_on_first=self.loss_on_first,
            start_from=PREVIOUS if self.continue_training else BASE,
        )


def star_iterations(
    task: Task,
    training: Training,
    *,
    num_iterations: int,
    keep_correct: bool,
    loss_on_first: bool = False,
    start_from: str = BASE,
    num_steps: int | None = None,
) -> list[Stage]:
    """The budget of `num_steps` reinforcement steps (None: of all), dealt to the iterations (`deal`)."""

    def keep(episodes: Sequence[Episode], seed: int) -> list[Episode]:  # noqa: ARG001  no choice is random
        return [episode for episode in episodes if _is_kept(episode, keep_correct=keep_correct)]

    def advantages(episode: Episode) -> Row:
        return (*(float(loss_on_first) for _ in episode.replies[1:]), 1.0)

    num_problems = len(task.problems("train"))
    total = training.num_conversations(num_problems, num_steps=num_steps)
    updates = training.imitation_updates(num_steps=num_steps)
    shares = deal(total, num_problems=num_problems, num_iterations=num_iterations)
    return [
        Imitate(
            name=f"star/{iteration + 1}",
            num_conversations=shares[iteration],
            choose=keep,
            advantages=advantages,
            start_from=start_from,
            num_updates=None if updates is None else max(1, _even(updates, num_iterations)[iteration]),
        )
        for iteration in range(num_iterations)
    ]


def _is_kept(episode: Episode, *, keep_correct: bool) -> bool:
    """A conversation cut at the length limit is no example of how to end."""
    first, last = episode.attempts[0], episode.attempts[-1]
    return last.correct and (keep_correct or not first.correct) and not last.completion.truncated


def deal(num_conversations: int, *, num_problems: int, num_iterations: int) -> list[int]:
    """Conversations of each iteration, at least one; together they are `num_conversations` where that is enough.

    Whole samples of every problem are dealt as evenly as they can be, and the conversations left over go to the first
    iteration that has fewest. Where there is not one sample of every problem for each iteration, conversations are.
    """
    samples, rest = divmod(num_conversations, num_problems)
    if samples < num_iterations:
        return [max(1, share) for share in _even(num_conversations, num_iterations)]
    shares = [share * num_problems for share in _even(samples, num_iterations)]
    shares[samples % num_iterations] += rest
    return shares


def _even(total: int, num_parts: int) -> list[int]:
    share, rest = divmod(total, num_parts)
    return [share + (part < rest) for part in range(num_parts)]
