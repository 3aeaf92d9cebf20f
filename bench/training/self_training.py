"""Self-training on chosen conversations: sample, keep some, imitate them, again (STaR; ReST^EM's protocol)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.episode import Credit, Episode
from bench.policies.policy import Policy
from bench.results import Run
from bench.rollout import Player
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
    num_iterations: int,
    keep: Keep,
    loss_on_first: bool,
    start: Callable[[], None],
) -> None:
    """`num_iterations` times: sample two-attempt conversations with the newest weights and imitate those that `keep`.

    `start` sets the weights that each round of imitation begins from. `samples_per_problem` is divided over the
    iterations, so that they cost together what one collection of another method does; each samples once at least.
    """
    share, rest = divmod(samples_per_problem, num_iterations)
    for iteration in range(num_iterations):
        label = f"{stage}/{iteration + 1}"
        episodes = player.play(
            policy,
            player.task.problems("train"),
            script=player.task.script(),
            sampling=settings.sampling,
            num_samples=max(1, share + (iteration < rest)),
            label=label,
        )
        kept = [episode for episode in episodes if keep(episode.rewards) and is_whole(episode)]
        run.save_training_data(label, kept)
        start()
        credits = [
            Credit(episode, weights=_weights(episode, loss_on_first=loss_on_first), kl=_no_kl(episode))
            for episode in kept
        ]
        fine_tune(policy, player, run, settings, credits, stage=label)


def is_whole(episode: Episode) -> bool:
    """Whether the last attempt ended by itself: one cut at the length limit is no example of how to end."""
    return not episode.attempts[-1].completion.truncated


def _weights(episode: Episode, *, loss_on_first: bool) -> tuple[float, ...]:
    return (*(float(loss_on_first) for _ in episode.spans[1:]), 1.0)


def _no_kl(episode: Episode) -> tuple[float, ...]:
    return (0.0,) * len(episode.spans)
