"""REINFORCE with a leave-one-out baseline over attempts, resumable: the loop behind every reinforcement method.

A method says what an episode's attempts earn (`reward`) and what their divergence from the base model costs (`kl`);
the loop does the rest, and knows no method by name.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from functools import lru_cache
from statistics import fmean

from bench.episode import Attempt, Episode, Problem, SamplingParams, TrainingSample, Turn
from bench.models.interface import KLEstimator, NonFiniteGradientError, OptimizerConfig, Policy
from bench.rollout import RolloutWorker, request_seed
from bench.runs.folder import Run
from bench.status import Work
from bench.training import checkpoint
from bench.training.adaptive_kl import AdaptiveKLCoef
from bench.training.advantages import Row, leave_one_out, returns
from bench.training.alerts import Alerter, AlertThresholds
from bench.training.non_finite import Skips
from bench.training.step_metrics import training_metrics


class Selection(Enum):
    """Which checkpoint a reinforcement stage ends with. Imitation keeps its last weights, whatever this says."""

    best_reward = "best_reward"  # the end of the window of highest mean reward, see Stage.reward (the paper's rule)
    best_dev = "best_dev"  # the one of highest accuracy, greedy, at the last attempt on the dev split
    last = "last"


@dataclass(kw_only=True)
class ReinforceConfig:
    """What every reinforcement method may spend, and how it steps. One budget, shared by all (conf/training/)."""

    num_steps: int  # over all stages of a method
    problems_per_step: int  # a step is one update, from newly sampled conversations
    samples_per_problem: int  # conversations per problem and step, each compared with the others
    optimizer: OptimizerConfig
    sampling: SamplingParams
    kl_estimator: KLEstimator  # how the divergence from the base model is estimated
    selection: Selection  # which checkpoint a stage ends with
    window: int  # steps over which the stage's reward is averaged, and between checkpoints
    alarms: AlertThresholds = field(default_factory=AlertThresholds)

    def __post_init__(self) -> None:
        if self.samples_per_problem < 2:
            raise ValueError(
                f"training.rl.samples_per_problem={self.samples_per_problem}: a leave-one-out baseline compares a "
                "problem's samples with each other and needs at least 2"
            )
        if not self.sampling.is_full_distribution or self.sampling.temperature != 1:
            raise ValueError(
                "training.rl.sampling must be the policy itself: temperature=1 top_p=1 top_k=0. Samples from a "
                "truncated or reshaped distribution, scored under the full one, make the gradient wrong"
            )
        for count in ("num_steps", "problems_per_step", "window"):
            if getattr(self, count) < 1:
                raise ValueError(f"training.rl.{count} must be at least 1, not {getattr(self, count)}")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of training under one reward."""

    name: str
    num_steps: int
    script: tuple[Turn, ...]
    # From correctness per attempt to reward per attempt, a bonus included and KL excluded. Their sum over attempts is
    # what `best_reward` compares windows by.
    reward: Callable[[Sequence[float]], Row]
    kl: Row  # coefficient per attempt
    num_kl_anchored: int = (
        0  # of the first attempts' coefficients, scaled to the reward as training goes (AdaptiveKLCoef)
    )
    discount: float = 0.0  # of later rewards in an attempt's return; the paper's is 0
    prefilled_attempts: Mapping[tuple[str, int], Attempt] = field(
        default_factory=dict
    )  # given, by problem id and sample
    # What is credited in place of `reward`: the same expected gradient at discount 0 with less noise. None: the reward.
    credited: Callable[[Sequence[float]], Row] | None = None


def reinforce(policy: Policy, player: RolloutWorker, run: Run, settings: ReinforceConfig, stage: Stage) -> None:
    """Train for one stage, from the policy's weights as they are; takes up where a killed run left off.

    A stage of no steps does nothing. The policy ends with the weights that `settings.selection` names.
    """
    if stage.num_steps == 0:
        return
    policy.begin(settings.optimizer, num_updates=stage.num_steps, kl_estimator=settings.kl_estimator)
    position = _resume(policy, player, run, stage)
    if position is None:
        return
    problems = player.task.problems("train")
    watch = Alerter(settings.alarms, f"{run.key} {stage.name}", tell=run.tracker.alert)
    progress = run.tracker.progress(stage.name, total=stage.num_steps, start=position.step, work=Work.step)
    skips = Skips(f"{run.key} {stage.name}")
    while position.step < stage.num_steps:
        label = f"{stage.name}/{position.step}"
        if skips.in_a_row:  # the same samples would give the same gradient
            label += f"/again{skips.in_a_row}"
        chosen = problems_of_step(
            problems, position.step, size=settings.problems_per_step, seed=order_seed(player, stage.name)
        )
        episodes = player.play(
            policy,
            chosen,
            script=stage.script,
            sampling=settings.sampling,
            num_samples=settings.samples_per_problem,
            label=label,
            prefilled_attempts=stage.prefilled_attempts,
        )
        scaled = position.balance.scale
        balanced = replace(stage, kl=position.balance.coefficients(stage.kl))
        credits = assign(episodes, balanced, samples=settings.samples_per_problem)
        try:
            metrics = policy.update(credits)
        except NonFiniteGradientError as error:
            skips.skip(error, step=position.step + 1)
            continue
        player.usage.updates += 1
        player.usage.trained_tokens += round(metrics["trained_tokens"])
        position.step += 1
        earned = [stage.reward(episode.rewards) for episode in episodes]
        position.recent.append(fmean(map(sum, earned)))
        divergences = tuple(metrics.get(f"kl@t{place}", 0.0) for place in range(1, len(stage.kl) + 1))
        position.balance.observe(reward=position.recent[-1], divergences=divergences)
        told = training_metrics(episodes, earned, metrics) | {"train/skipped": skips.succeed()}
        if stage.num_kl_anchored:
            told["train/kl_scale"] = scaled
        equal = not any(any(credit.weights) for credit in credits)
        alarms = watch.step(told, rewards_equal=equal)
        window_ends = position.step % settings.window == 0 or position.step == stage.num_steps
        if window_ends and settings.selection is not Selection.last:
            told |= _select(policy, player, run, settings, stage, position)
        run.log(update=player.usage.updates, stage=stage.name, step=position.step, **told, alarms=alarms)
        progress.advance(shown={name.removeprefix("train/"): told[name] for name in told if "accuracy@" in name})
        if window_ends:
            position.recent.clear()
            checkpoint.save(
                policy,
                player,
                run,
                stage=stage.name,
                step=position.step,
                num_steps=stage.num_steps,
                best=position.best,
                best_at=position.best_at,
                balance=asdict(position.balance),
            )
            if position.best_at is not None:
                run.keep_best(stage.name, position.best_at)
    progress.close()


def assign(episodes: Sequence[Episode], stage: Stage, *, samples: int) -> list[TrainingSample]:
    """Per attempt: the advantage over the other samples of the same problem, and the stage's KL coefficient.

    `episodes` holds `samples` episodes per problem, side by side. Attempts that were given to the policy carry nothing:
    they say nothing of what it would do.
    """
    credited = stage.credited or stage.reward
    credits = []
    for start in range(0, len(episodes), samples):
        group = episodes[start : start + samples]
        rows = [returns(credited(episode.rewards), discount=stage.discount) for episode in group]
        credits += [
            TrainingSample(episode, weights=_masked(weights, episode.given), kl=_masked(stage.kl, episode.given))
            for episode, weights in zip(group, leave_one_out(rows), strict=True)
        ]
    return credits


def _masked(values: Row, given: int) -> Row:
    return (0.0,) * given + values[given:]


def order_seed(player: RolloutWorker, stage: str) -> int:
    """What shuffles a stage's problems."""
    return request_seed(player.seed, stage)


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


@dataclass(slots=True)
class _Position:
    """How far a stage has come."""

    step: int
    balance: AdaptiveKLCoef
    recent: list[float] = field(default_factory=list)  # the stage's summed reward at each step of the open window
    best: float | None = None  # of the closed windows, by what `Selection` looks at
    best_at: int | None = None  # the step that it ended with


def _select(
    policy: Policy, player: RolloutWorker, run: Run, settings: ReinforceConfig, stage: Stage, position: _Position
) -> dict[str, float]:
    """Keep the weights if the window is the best so far by what `Selection` looks at; returns what is logged of it.

    At the stage's end the policy gets the best window's weights.
    """
    if settings.selection is Selection.best_dev:
        compared, merit = "dev_accuracy", _dev_accuracy(policy, player, stage, max_tokens=settings.sampling.max_tokens)
    else:
        compared, merit = "window_reward", fmean(position.recent)
    is_best = position.best is None or merit >= position.best
    if is_best:
        position.best, position.best_at = merit, position.step
        run.save_best(stage.name, position.step, policy.save)
    if position.step == stage.num_steps:
        assert position.best_at is not None
        policy.restore(run.best_weights(stage.name, position.best_at))
    return {f"selection/{compared}": merit, "selection/is_best": float(is_best)}


def _dev_accuracy(policy: Policy, player: RolloutWorker, stage: Stage, *, max_tokens: int) -> float:
    """Of the last attempt. Measuring is no part of the training budget, so it stays out of the usage."""
    episodes = player.without_usage().play(
        policy,
        player.task.problems("dev"),
        script=stage.script,
        sampling=SamplingParams(temperature=0, max_tokens=max_tokens),
        label="dev",
    )
    return fmean(episode.rewards[-1] for episode in episodes)


def _resume(policy: Policy, player: RolloutWorker, run: Run, stage: Stage) -> _Position | None:
    """Where to begin; None if this stage had been finished when the run was killed in a later one."""
    progress = run.progress
    if progress is not None and stage.name in progress["finished"]:
        return None
    record = checkpoint.resume(policy, player, run, stage.name)
    if record is None:
        return _Position(0, AdaptiveKLCoef(stage.num_kl_anchored))
    balance = AdaptiveKLCoef(**record["balance"])
    return _Position(record["step"], balance, best=record["best"], best_at=record["best_at"])
