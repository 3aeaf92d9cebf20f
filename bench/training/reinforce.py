"""REINFORCE with a leave-one-out baseline: what a stage samples, what its replies earn, which weights it keeps."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import fmean

from bench.episode import Attempt, Episode, Problem, SamplingParams, TrainingSample
from bench.models.interface import UpdateStats
from bench.rollout import request_seed
from bench.status import Work
from bench.training.adaptive_kl import AdaptiveKLCoef
from bench.training.advantages import Row, leave_one_out, returns
from bench.training.alerts import Alerter
from bench.training.checkpoint import StageState
from bench.training.config import Selection
from bench.training.stages import Reinforce
from bench.training.step_metrics import StepMetrics, step_metrics
from bench.training.trainer import Trainer


class ReinforceLoop:
    """Implements `StageLoop`: each update learns from conversations that were sampled for it."""

    work = Work.step
    resamples = True

    def __init__(self, stage: Reinforce, trainer: Trainer) -> None:
        config = trainer.config.rl
        self.name, self.num_updates = stage.name, stage.num_steps
        self.optimizer, self.kl_estimator = config.optimizer, config.kl_estimator
        self.importance_cap = config.importance_cap
        self.checkpoint_every = config.checkpoint_every
        self.state = StageState(adaptive_kl=AdaptiveKLCoef(stage.num_kl_anchored))
        self._stage, self._trainer, self._config = stage, trainer, config
        self._problems = trainer.rollouts.task.problems("train")
        self._prefilled: dict[tuple[str, int], Attempt] = {}
        self._mean_rewards: list[float] = []  # of the steps since the last checkpoint
        self._alerter = Alerter(config.alerts, f"{trainer.run.key} {stage.name}", tell=trainer.run.tracker.alert)

    def prepare(self) -> None:
        """Sample the first attempts that the stage is to go on from, for a random part of its places.

        Each of them is at least one first attempt that the stage does not sample, so it never costs more than without.
        """
        if self._stage.prefilled_fraction == 0:
            return
        rollouts, size = self._trainer.rollouts, self._config.group_size
        draw = random.Random(request_seed(rollouts.seed, "score/offline"))
        wanted = {
            (problem.id, sample)
            for problem in self._problems
            for sample in range(size)
            if draw.random() < self._stage.prefilled_fraction
        }
        needed = {problem.id for step in range(self.num_updates) for problem in self._problems_of(step)}
        episodes = rollouts.rollout(
            self._trainer.policy,
            [problem for problem in self._problems if problem.id in needed],
            next_turn=self._trainer.next_turn,
            num_attempts=1,
            sampling=self._config.sampling,
            num_samples=size,
            only=wanted,
            seed_key="offline",
        )
        self._prefilled = {(episode.problem.id, episode.sample): episode.attempts[0] for episode in episodes}

    def collect(self) -> None: ...

    def samples(self, *, attempt: int) -> list[TrainingSample]:
        step = self.state.step
        seed_key = f"{self.name}/{step}"
        if attempt:  # the same samples would give the same gradient
            seed_key += f"/again{attempt}"
        episodes = self._trainer.rollouts.rollout(
            self._trainer.policy,
            self._problems_of(step),
            next_turn=self._trainer.next_turn,
            num_attempts=self._stage.num_attempts,
            sampling=self._config.sampling,
            num_samples=self._config.group_size,
            seed_key=seed_key,
            prefilled_attempts=self._prefilled,
        )
        kl_coefs = self.state.adaptive_kl.coefficients(self._stage.kl_coefs)
        return training_samples(episodes, replace(self._stage, kl_coefs=kl_coefs), group_size=self._config.group_size)

    def metrics(self, samples: Sequence[TrainingSample], stats: UpdateStats) -> StepMetrics:
        episodes = [sample.episode for sample in samples]
        rewards = [self._stage.reward(episode) for episode in episodes]
        row = step_metrics(episodes, rewards, stats)
        self._mean_rewards.append(row["train/reward"])
        if self._stage.num_kl_anchored:
            row["train/kl_scale"] = self.state.adaptive_kl.scale
        divergences = tuple(stats.kl.get(label, 0.0) for label in episodes[0].labels)
        self.state.adaptive_kl.observe(reward=self._mean_rewards[-1], divergences=divergences)
        no_signal = not any(any(sample.advantages) for sample in samples)
        mismatch = {name: value for name, value in row.items() if name.startswith("train/logprob_diff@")}
        self.state.first = self.state.first or mismatch
        alerts = self._alerter.step(row, rewards_equal=no_signal, first=self.state.first)
        shown = {name.removeprefix("train/"): value for name, value in row.items() if "accuracy@" in name}
        return StepMetrics(row=row, more={"alerts": alerts}, shown=shown)

    def measure(self) -> dict[str, float]:
        return {}

    def select(self) -> dict[str, float]:
        """At the stage's end the policy gets the best checkpoint's weights."""
        if self._config.selection is Selection.last:
            return {}
        if self._config.selection is Selection.best_dev:
            compared, score = "dev_accuracy", self._dev_accuracy()
        else:
            compared, score = "mean_reward", fmean(self._mean_rewards)
        state, run, policy = self.state, self._trainer.run, self._trainer.policy
        is_best = state.best_score is None or score >= state.best_score
        if is_best:
            state.best_score, state.best_step = score, state.step
            run.save_best(self.name, state.step, policy.save)
        if state.step == self.num_updates:
            assert state.best_step is not None
            policy.restore(run.best_weights(self.name, state.best_step))
        return {f"selection/{compared}": score, "selection/is_best": float(is_best)}

    def checkpointed(self) -> None:
        self._mean_rewards.clear()
        if self.state.best_step is not None:
            self._trainer.run.keep_best(self.name, self.state.best_step)

    def _problems_of(self, step: int) -> list[Problem]:
        seed = request_seed(self._trainer.rollouts.seed, self.name)
        return problems_of_step(self._problems, step, size=self._config.problems_per_step, seed=seed)

    def _dev_accuracy(self) -> float:
        """Of the last attempt. Measuring is no part of the training budget, so it is not counted."""
        rollouts = self._trainer.rollouts.without_usage()
        episodes = rollouts.rollout(
            self._trainer.policy,
            rollouts.task.problems("dev"),
            next_turn=self._trainer.next_turn,
            num_attempts=self._stage.num_attempts,
            sampling=SamplingParams(temperature=0, max_tokens=self._config.sampling.max_tokens),
            seed_key="dev",
        )
        return fmean(episode.rewards[-1] for episode in episodes)


def training_samples(episodes: Sequence[Episode], stage: Reinforce, *, group_size: int) -> list[TrainingSample]:
    """Per reply: the advantage over the other samples of the same problem, and the stage's KL coefficient.

    `episodes` holds `group_size` episodes per problem, side by side. Replies that were prefilled carry nothing: they
    say nothing of what the policy would do.
    """
    reward = stage.advantage_reward or stage.reward
    samples = []
    for start in range(0, len(episodes), group_size):
        group = episodes[start : start + group_size]
        rows = [returns(reward(episode), discount=stage.discount) for episode in group]
        advantages = leave_one_out(rows, labels=[episode.labels for episode in group])
        samples += [
            TrainingSample(
                episode,
                advantages=_without_prefilled(row, episode),
                kl_coefs=_without_prefilled(_per_reply(stage.kl_coefs, episode), episode),
            )
            for episode, row in zip(group, advantages, strict=True)
        ]
    return samples


def _per_reply(kl_coefs: Row, episode: Episode) -> Row:
    num_replies = len(episode.replies)
    return (*kl_coefs, *kl_coefs[-1:] * num_replies)[:num_replies]


def _without_prefilled(values: Row, episode: Episode) -> Row:
    return (0.0,) * episode.num_prefilled + values[episode.num_prefilled :]


def problems_of_step(problems: Sequence[Problem], step: int, *, size: int, seed: int) -> list[Problem]:
    """Step `step`'s problems, none of them twice: a slice of a pass over all problems, shuffled by the pass's own seed.

    A pass ends with its last whole slice, so the few that are left over, others in each pass, wait for the next one.
    Raises ValueError where there are fewer problems than `size`.
    """
    if size > len(problems):
        raise ValueError(
            f"training.rl.problems_per_step={size}, and there are {len(problems)} training problems: set "
            f"training.rl.problems_per_step={len(problems)} or less, or take more problems"
        )
    epoch, place = divmod(step, len(problems) // size)
    return [problems[index] for index in _order(len(problems), seed, epoch)[place * size : (place + 1) * size]]


@lru_cache(maxsize=4)
def _order(num_problems: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(num_problems))
    random.Random(request_seed(seed, "epoch", epoch)).shuffle(order)
    return tuple(order)
