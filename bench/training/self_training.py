"""Self-training on chosen conversations: sample, keep some, imitate them, again (STaR; ReST^EM's protocol)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.episode import Episode, TrainingSample
from bench.models.interface import Policy
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.training import checkpoint
from bench.training.collection import TrainingSamples, collect
from bench.training.imitate import ImitateConfig, fine_tune

Keep = Callable[[Sequence[float]], bool]  # from correctness per attempt to whether a conversation is worth imitating


def self_train(
    policy: Policy,
    player: RolloutWorker,
    run: Run,
    settings: ImitateConfig,
    *,
    stage: str,
    num_conversations: int,
    num_updates: int | None,
    num_iterations: int,
    keep: Keep,
    loss_on_first: bool,
    start: Callable[[], None],
) -> None:
    """`num_iterations` times: sample two-attempt conversations with the newest weights and imitate those that `keep`.

    `start` sets the weights that each round of imitation begins from. `num_conversations` is divided over the
    iterations (`dealt`), so that they cost together what one collection of another method does. So is `num_updates`,
    where it is given; each makes one update at least.
    """
    shares = dealt(num_conversations, num_problems=len(player.task.problems("train")), num_iterations=num_iterations)
    for iteration in range(num_iterations):
        label = f"{stage}/{iteration + 1}"
        if checkpoint.is_finished(policy, player, run, label, settings.optimizer):
            continue
        kept = collect(
            policy,
            player,
            run,
            label=label,
            sampling=settings.sampling,
            num_conversations=shares[iteration],
            choose=lambda episodes: [episode for episode in episodes if keep(episode.rewards) and is_whole(episode)],
        )
        run.save_training_data(label, kept)
        start()
        credits = TrainingSamples(kept, lambda episode: _imitation(episode, loss_on_first=loss_on_first))
        updates = None if num_updates is None else max(1, _even(num_updates, num_iterations)[iteration])
        fine_tune(policy, player, run, settings, credits, stage=label, num_updates=updates)


def is_whole(episode: Episode) -> bool:
    """Whether the last attempt ended by itself: one cut at the length limit is no example of how to end."""
    return not episode.attempts[-1].completion.truncated


def dealt(num_conversations: int, *, num_problems: int, num_iterations: int) -> list[int]:
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


def _imitation(episode: Episode, *, loss_on_first: bool) -> TrainingSample:
    earlier = [float(loss_on_first)] * (len(episode.spans) - 1)
    return TrainingSample(episode, weights=(*earlier, 1.0), kl=(0.0,) * len(episode.spans))
