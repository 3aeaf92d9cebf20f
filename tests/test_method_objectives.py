"""Every method, as configured in conf/method/, optimises what the paper says: by enumeration, against closed forms.

The stages of reinforcement methods and the credits of supervised ones are taken from the methods' own train(), as they
hand them to the training loops.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from bench.episode import Episode, TrainingSample
from bench.launch.catalogue import CONF, compose_plan
from bench.methods.score import Score
from bench.models.interface import KLEstimator
from bench.rollout import Usage
from bench.runs.folder import Run
from bench.training.reinforce import Stage, assign
from tests.enumeration import (
    PROBLEM,
    conversations,
    enumerable_learner,
    expected_update,
    expected_update_of_pairs,
    objective_gradient,
    tiny_lm,
)
from tests.made_episodes import Riddles

REFERENCE = tiny_lm(1)
ONE_PROBLEM = ["training.rl.problems_per_step=1"]
ALPHA, BETA1, BETA2 = 10.0, 0.01, 0.1  # Table 5, MATH


def first(row: Sequence[float]) -> float:
    return row[0]


def second(row: Sequence[float]) -> float:
    return row[1]


def nothing(_: Sequence[float]) -> float:
    return 0.0


def shaped(row: Sequence[float]) -> float:
    return row[1] + ALPHA * (row[1] - row[0])


@dataclass
class Trained:
    """What a method asked the training loops to do."""

    stages: list[Stage] = field(default_factory=list)
    imitated: list[list[TrainingSample]] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)  # weights that were put back


class EnumeratedPlayer:
    """Plays every conversation once; attempts that are asked for singly come as first attempts of all of them."""

    seed = 0
    task = Riddles([PROBLEM])

    def __init__(self) -> None:
        self.usage = Usage()

    def without_usage(self) -> EnumeratedPlayer:
        return EnumeratedPlayer()

    def play(self, *_: Any, **__: Any) -> list[Episode]:
        return [each.episode for each in conversations(REFERENCE, REFERENCE)]


def train(method: str, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Trained:
    """Run the method's own train() with the loops replaced by recorders."""
    plan = compose_plan([f"method={method}", "training=paper", "training.sft.probe_every=0", *ONE_PROBLEM, *overrides])
    chosen = plan.experiment.method
    told = Trained()
    for module in (
        importlib.import_module(type(chosen).__module__),
        importlib.import_module("bench.training.self_training"),
    ):
        if hasattr(module, "reinforce"):
            monkeypatch.setattr(module, "reinforce", lambda *arguments: told.stages.append(arguments[-1]))
        if hasattr(module, "fine_tune"):
            monkeypatch.setattr(module, "fine_tune", lambda *arguments, **_: told.imitated.append(list(arguments[-1])))
    policy = SimpleNamespace(save=lambda _: None, restore=lambda folder: told.starts.append(folder.parent.name))
    policy.reset = lambda: told.starts.append("the base model")
    policy.opening = lambda _: (0,)
    policy.bridge = lambda *_, **__: (1,)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(plan.key, Path(folder))
        monkeypatch.setattr(run, "save_training_data", lambda *_: None)
        chosen.train(policy, EnumeratedPlayer(), run, plan.experiment.training)
    told.stages = [stage for stage in told.stages if stage.num_steps]
    return told


# For each reinforcement method, its stages' (reward of attempt 1, of attempt 2, KL coefficients).
STAGE1 = (nothing, second, (BETA2, BETA1))
EXPECTED = {
    "multi_turn_rl": [(nothing, second, (BETA1, BETA1))],
    "score": [STAGE1, (first, shaped, (BETA1, BETA1))],
    "score_stage1": [STAGE1],
    "score_wo_stage1": [(first, shaped, (BETA1, BETA1))],
    "score_wo_reward_shaping": [STAGE1, (first, second, (BETA1, BETA1))],
    "score_wo_online_turn1": [STAGE1, (first, shaped, (BETA1, BETA1))],
    "score_star_stage2": [STAGE1],
    "single_turn_rl": [(first, None, (BETA1, 0.0))],
    "score_wo_multi_turn": [(first, None, (BETA1, 0.0))],
}
CASES = [(method, number) for method, stages in EXPECTED.items() for number in range(len(stages))]


def two_attempts(stage: Stage) -> Stage:
    """A one-attempt stage as one over two attempts whose second carries nothing: the enumeration has two."""
    if len(stage.kl) == 2:
        return stage
    return Stage(stage.name, num_steps=1, next_turn=ASK_AGAIN, num_attempts=1, reward=lambda row: (row[0], 0.0), kl=(*stage.kl, 0.0))


@pytest.mark.parametrize(("method", "number"), CASES)
def test_the_expected_update_of_every_stage_is_the_gradient_of_the_papers_objective(
    method: str, number: int, monkeypatch: pytest.MonkeyPatch
):
    stages = train(method, monkeypatch).stages
    assert len(stages) == len(EXPECTED[method])
    stage = two_attempts(stages[number])
    reward1, reward2, kl = EXPECTED[method][number]
    offline = bool(stage.prefilled_attempts)
    assert offline == (method == "score_wo_online_turn1" and number == 1)
    learner = enumerable_learner(kl=KLEstimator.exact)
    updates = expected_update(
        learner, REFERENCE, assign=lambda one, other: assign([one, other], stage, samples=2)[0], offline=offline
    )
    gradients = objective_gradient(
        learner, REFERENCE, rewards=(reward1, reward2 or nothing), kl=(kl[0], kl[-1]), offline=offline
    )
    for update, gradient in zip(updates, gradients, strict=True):
        torch.testing.assert_close(update, gradient, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("method", "number"), [("score", 0), ("score", 1), ("score_wo_online_turn1", 1)])
def test_so_it_is_with_the_rewards_and_the_divergences_of_two_samples_compared(
    method: str, number: int, monkeypatch: pytest.MonkeyPatch
):
    stage = two_attempts(train(method, monkeypatch).stages[number])
    reward1, reward2, kl = EXPECTED[method][number]
    offline = bool(stage.prefilled_attempts)
    learner = enumerable_learner(kl=KLEstimator.exact)
    updates = expected_update_of_pairs(
        learner, REFERENCE, assign=lambda pair: assign(pair, stage, samples=2), offline=offline
    )
    gradients = objective_gradient(
        learner, REFERENCE, rewards=(reward1, reward2 or nothing), kl=(kl[0], kl[-1]), offline=offline
    )
    for update, gradient in zip(updates, gradients, strict=True):
        torch.testing.assert_close(update, gradient, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "kept"),
    [("star", [(0.0, 1.0)]), ("star_plus", [(0.0, 1.0), (1.0, 1.0)]), ("score_star_stage2", [(0.0, 1.0), (1.0, 1.0)])],
)
def test_star_imitates_the_second_attempt_of_what_it_keeps_and_nothing_else(
    method: str, kept: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch
):
    told = train(method, monkeypatch)
    assert len(told.imitated) == 3
    everything = EnumeratedPlayer().rollout()
    usable = [e for e in everything if e.rewards in kept and not e.attempts[-1].completion.truncated]
    for credits in told.imitated:
        assert [credit.episode for credit in credits] == usable
        assert {credit.advantages for credit in credits} == {(0.0, 1.0)}
        assert {credit.kl_coefs for credit in credits} == {(0.0, 0.0)}
    learner = enumerable_learner(kl=KLEstimator.exact)
    learner.backward(told.imitated[0])
    loss = sum(-each.logprobs[1] for each in conversations(learner.model, REFERENCE) if each.episode in usable)
    expected = torch.autograd.grad(cast(torch.Tensor, loss) / len(usable), list(learner.model.parameters()))
    for parameter, gradient in zip(learner.model.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "override", "starts"),
    [
        ("star", "method.continue_training=false", ["the base model"] * 3),
        ("star", "method.continue_training=true", []),
        ("score_star_stage2", "method.num_iterations=3", ["after_stage1"] * 3),
        ("pair_sft", "method.keep_correct=false", []),
        ("score", "method.alpha=10", []),
    ],
)
def test_iterations_of_star_start_from_the_base_model_and_after_stage_1_from_its_weights(
    method: str, override: str, starts: list[str], monkeypatch: pytest.MonkeyPatch
):
    assert train(method, monkeypatch, override).starts == starts


@pytest.mark.parametrize(("method", "firsts"), [("pair_sft", {0.0}), ("pair_sft_plus", {0.0, 1.0})])
def test_pair_sft_pairs_first_attempts_with_any_whole_correct_response_to_the_same_problem(
    method: str, firsts: set[float], monkeypatch: pytest.MonkeyPatch
):
    (credits,) = train(method, monkeypatch).imitated
    everything = EnumeratedPlayer().rollout()
    attempts = [attempt for episode in everything for attempt in episode.attempts]
    correct = {a.completion.text for a in attempts if a.correct and not a.completion.truncated}
    assert len(credits) == sum(episode.rewards[0] in firsts for episode in everything)
    assert {credit.episode.rewards for credit in credits} == {(value, 1.0) for value in firsts}
    assert {credit.episode.attempts[1].completion.text for credit in credits} == correct
    assert {credit.advantages for credit in credits} == {(0.0, 1.0)}
    for credit in credits:
        start, stop = credit.episode.spans[1]
        assert credit.episode.token_ids[start:stop] == credit.episode.attempts[1].completion.token_ids


def test_every_trained_method_in_conf_has_its_objective_proven_here():
    supervised = {"star", "star_plus", "pair_sft", "pair_sft_plus"}
    untrained = {"base", "self_refine"}
    assert {path.stem for path in (CONF / "method").glob("*.yaml")} == {*EXPECTED, *supervised, *untrained}


def variance(stage: Stage, *, seed: int) -> float:
    """Σ of the variances of the gradient's entries for one sample against one other, by enumeration."""
    learner = enumerable_learner(kl=KLEstimator.exact, seed=seed)
    played = conversations(learner.model, REFERENCE)
    mass = [each.probability for each in played]
    others: dict[tuple[float, ...], tuple[Episode, float]] = {}
    for p, each in zip(mass, played, strict=True):
        row = each.episode.rewards
        others[row] = each.episode, others.get(row, (each.episode, 0.0))[1] + p
    parameters = list(learner.model.parameters())
    mean, square = 0.0, 0.0
    for p, each in zip(mass, played, strict=True):
        scores = [
            torch.cat([g.flatten() for g in torch.autograd.grad(logprob, parameters, retain_graph=True)])
            for logprob in each.logprobs
        ]
        for other, q in others.values():
            weights = assign([each.episode, other], stage, samples=2)[0].weights
            gradient = weights[0] * scores[0] + weights[1] * scores[1]
            mean, square = mean + p * q * gradient, square + p * q * gradient.square()
    return float((square - cast(torch.Tensor, mean).square()).sum())


def test_the_residual_baseline_has_the_same_expectation_and_less_variance():
    def stage_of(baseline: str) -> Stage:
        score = compose_plan(["method=score", f"method.baseline={baseline}"]).experiment.method
        assert isinstance(score, Score)
        return score._stages(EnumeratedPlayer.task, num_steps=2, offline={})[-1]

    plain, residual = stage_of("loo"), stage_of("loo_residual")
    learner = enumerable_learner(kl=KLEstimator.exact)
    expectations = [
        expected_update(learner, REFERENCE, assign=lambda one, other, s=stage: assign([one, other], s, samples=2)[0])
        for stage in (plain, residual)
    ]
    for one, other in zip(*expectations, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
    ratios = [variance(plain, seed=seed) / variance(residual, seed=seed) for seed in (2, 3, 4)]
    print("variance of loo over loo_residual, three policies:", [f"{ratio:.2f}" for ratio in ratios])
    assert min(ratios) > 1.1


def test_three_attempts_train_stage_one_once_per_correction(monkeypatch: pytest.MonkeyPatch):
    stages = train("score", monkeypatch, "method.num_attempts=3", "training.rl.num_steps=9").stages
    assert [stage.name for stage in stages] == ["stage1a", "stage1b", "stage2"]
    assert [stage.kl for stage in stages] == [(BETA2, BETA1), (BETA2, BETA2, BETA1), (BETA1,) * 3]
    assert [len(stage.script) for stage in stages] == [1, 2, 2]
    assert sum(stage.num_steps for stage in stages) == 9
    assert stages[-1].reward((0.0, 1.0, 0.0)) == (0.0, 11.0, -10.0)
