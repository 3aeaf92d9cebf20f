"""Self-training on chosen conversations: sample, keep some, imitate them, again (STaR; ReST^EM's protocol)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.episode import Credit, Episode
from bench.policies.policy import Policy
from bench.results import Run
from bench.rollout import Player
from bench.training import checkpoint
from bench.training.collection import Credits, collect
from bench.training.fine_tune import FineTuning, fine_tune

Keep = Callable[[Sequence[float]], bool]  # from correctness per attempt to whether a conversation is worth imitating


def self_train(
    policy: Policy,
    player: Player,
    run: Run,
    settings: FineTuning,
    *,
    stage: str,
    samples_per_problem: int,
    num_updates: int | None,
    num_iterations: int,
    keep: Keep,
    loss_on_first: bool,
    start: Callable[[], None],
) -> None:
    """`num_iterations` times: sample two-attempt conversations with the newest weights and imitate those that `keep`.

    `start` sets the weights that each round of imitation begins from. `samples_per_problem` is divided over the
    iterations, so that they cost together what one collection of another method does; each samples once at least.
    So is `num_updates`, where it is given.
    """
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
            num_samples=_part(samples_per_problem, iteration, num_iterations),
            choose=lambda episodes: [episode for episode in episodes if keep(episode.rewards) and is_whole(episode)],
        )
        run.save_training_data(label, kept)
        start()
        credits = Credits(kept, lambda episode: _imitation(episode, loss_on_first=loss_on_first))
        updates = None if num_updates is None else _part(num_updates, iteration, num_iterations)
        fine_tune(policy, player, run, settings, credits, stage=label, num_updates=updates)


def is_whole(episode: Episode) -> bool:
    """Whether the last attempt ended by itself: one cut at the length limit is no example of how to end."""
    return not episode.attempts[-1].completion.truncated


def _part(total: int, iteration: int, num_iterations: int) -> int:
    share, rest = divmod(total, num_iterations)
    return max(1, share + (iteration < rest))


def _imitation(episode: Episode, *, loss_on_first: bool) -> Credit:
    earlier = [float(loss_on_first)] * (len(episode.spans) - 1)
    return Credit(episode, weights=(*earlier, 1.0), kl=(0.0,) * len(episode.spans))
