"""Every method, as configured in conf/method/, optimises what the paper says: by enumeration, against closed forms.

The stages are the methods' own, as they hand them to the training loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import pytest
import torch

from bench.episode import Episode, TrainingSample
from bench.launch.catalogue import CONF, compose_spec
from bench.models.interface import KLEstimator
from bench.training.advantages import per_attempt
from bench.training.imitate import imitation_sample
from bench.training.reinforce import training_samples
from bench.training.stages import BASE, PREVIOUS, Imitate, Reinforce, Stage
from tests.enumeration import (
    conversations,
    enumerable_learner,
    expected_update,
    expected_update_of_pairs,
    objective_gradient,
    tiny_lm,
)
from tests.made_episodes import episode

REFERENCE = tiny_lm(1)
ALPHA, BETA1, BETA2 = 10.0, 0.01, 0.1  # Table 5, MATH


def first(row: Sequence[float]) -> float:
    return row[0]


def second(row: Sequence[float]) -> float:
    return row[1]


def nothing(_: Sequence[float]) -> float:
    return 0.0


def shaped(row: Sequence[float]) -> float:
    return row[1] + ALPHA * (row[1] - row[0])


def stages_of(method: str, *overrides: str) -> list[Stage]:
    """What the method trains, at the paper's scale."""
    spec = compose_spec([f"method={method}", "training=paper", *overrides])
    return [stage for stage in spec.stages if not isinstance(stage, Reinforce) or stage.num_steps]


def reinforced(method: str, *overrides: str) -> list[Reinforce]:
    return [stage for stage in stages_of(method, *overrides) if isinstance(stage, Reinforce)]


def imitated(method: str, *overrides: str) -> list[Imitate]:
    return [stage for stage in stages_of(method, *overrides) if isinstance(stage, Imitate)]


def everything() -> list[Episode]:
    """Every conversation that the enumerable policy can have, once."""
    return [each.episode for each in conversations(REFERENCE, REFERENCE)]


def chosen(stage: Imitate) -> list[TrainingSample]:
    """What the stage learns from where every conversation was sampled once."""
    return [imitation_sample(episode, stage) for episode in stage.choose(everything(), 0)]


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


def against(stage: Reinforce, one: Episode, other: Episode) -> TrainingSample:
    """What `one` teaches in a group of two."""
    return training_samples([one, other], stage, group_size=2)[0]


def two_attempts(stage: Reinforce) -> Reinforce:
    """A one-attempt stage as one over two attempts whose second carries nothing: the enumeration has two."""
    if stage.num_attempts == 2:
        return stage
    return Reinforce(
        name=stage.name,
        num_steps=1,
        reward=per_attempt(lambda row: (row[0], 0.0)),
        kl_coefs=(*stage.kl_coefs, 0.0),
    )


@pytest.mark.parametrize(("method", "number"), CASES)
def test_the_expected_update_of_every_stage_is_the_gradient_of_the_papers_objective(method: str, number: int):
    stages = reinforced(method)
    assert len(stages) == len(EXPECTED[method])
    stage = two_attempts(stages[number])
    reward1, reward2, kl = EXPECTED[method][number]
    offline = stage.prefilled_fraction == 1
    assert offline == (method == "score_wo_online_turn1" and number == 1)
    learner = enumerable_learner(kl=KLEstimator.exact)
    updates = expected_update(
        learner,
        REFERENCE,
        assign=partial(against, stage),
        offline=offline,
    )
    gradients = objective_gradient(
        learner, REFERENCE, rewards=(reward1, reward2 or nothing), kl=(kl[0], kl[-1]), offline=offline
    )
    for update, gradient in zip(updates, gradients, strict=True):
        torch.testing.assert_close(update, gradient, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("method", "number"), [("score", 0), ("score", 1), ("score_wo_online_turn1", 1)])
def test_so_it_is_with_the_rewards_and_the_divergences_of_two_samples_compared(method: str, number: int):
    stage = two_attempts(reinforced(method)[number])
    reward1, reward2, kl = EXPECTED[method][number]
    offline = stage.prefilled_fraction == 1
    learner = enumerable_learner(kl=KLEstimator.exact)
    updates = expected_update_of_pairs(
        learner, REFERENCE, assign=lambda pair: training_samples(pair, stage, group_size=2), offline=offline
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
    method: str, kept: list[tuple[float, float]]
):
    iterations = imitated(method)
    assert len(iterations) == 3
    usable = [e for e in everything() if e.rewards in kept and not e.attempts[-1].completion.truncated]
    for stage in iterations:
        samples = chosen(stage)
        assert [sample.episode for sample in samples] == usable
        assert {sample.advantages for sample in samples} == {(0.0, 1.0)}
        assert {sample.kl_coefs for sample in samples} == {(0.0, 0.0)}
    learner = enumerable_learner(kl=KLEstimator.exact)
    learner.backward(chosen(iterations[0]))
    loss = sum(-each.logprobs[1] for each in conversations(learner.model, REFERENCE) if each.episode in usable)
    expected = torch.autograd.grad(cast(torch.Tensor, loss) / len(usable), list(learner.model.parameters()))
    for parameter, gradient in zip(learner.model.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "overrides", "starts"),
    [
        ("star", ["method.continue_training=false"], [BASE] * 3),
        ("star", ["method.continue_training=true"], [PREVIOUS] * 3),
        ("score_star_stage2", [], ["stage1"] * 3),
        ("pair_sft", [], [PREVIOUS]),
        ("score", [], []),
    ],
)
def test_iterations_of_star_start_from_the_base_model_and_after_stage_1_from_its_weights(
    method: str, overrides: list[str], starts: list[str]
):
    assert [stage.start_from for stage in imitated(method, *overrides)] == starts


@pytest.mark.parametrize(("method", "firsts"), [("pair_sft", {0.0}), ("pair_sft_plus", {0.0, 1.0})])
def test_pair_sft_pairs_first_attempts_with_any_whole_correct_response_to_the_same_problem(
    method: str, firsts: set[float]
):
    (stage,) = imitated(method)
    samples = chosen(stage)
    attempts = [attempt for episode in everything() for attempt in episode.attempts]
    correct = {a.completion.text for a in attempts if a.correct and not a.completion.truncated}
    assert len(samples) == sum(episode.rewards[0] in firsts for episode in everything())
    assert {sample.episode.rewards for sample in samples} == {(value, 1.0) for value in firsts}
    assert {sample.episode.attempts[1].completion.text for sample in samples} == correct
    assert {sample.advantages for sample in samples} == {(0.0, 1.0)}
    for sample in samples:
        start, stop = sample.episode.spans[1]
        assert sample.episode.token_ids[start:stop] == sample.episode.attempts[1].completion.token_ids


def test_every_trained_method_in_conf_has_its_objective_proven_here():
    supervised = {"star", "star_plus", "pair_sft", "pair_sft_plus"}
    untrained = {"base", "self_refine"}
    assert {path.stem for path in (CONF / "method").glob("*.yaml")} == {*EXPECTED, *supervised, *untrained}


def variance(stage: Reinforce, *, seed: int) -> float:
    """Σ of the variances of the gradient's entries for one sample against one other, by enumeration."""
    learner = enumerable_learner(kl=KLEstimator.exact, seed=seed)
    enumerated = conversations(learner.model, REFERENCE)
    mass = [each.probability for each in enumerated]
    others: dict[tuple[float, ...], tuple[Episode, float]] = {}
    for p, each in zip(mass, enumerated, strict=True):
        row = each.episode.rewards
        others[row] = each.episode, others.get(row, (each.episode, 0.0))[1] + p
    parameters = list(learner.model.parameters())
    mean, square = 0.0, 0.0
    for p, each in zip(mass, enumerated, strict=True):
        scores = [
            torch.cat([g.flatten() for g in torch.autograd.grad(logprob, parameters, retain_graph=True)])
            for logprob in each.logprobs
        ]
        for other, q in others.values():
            first, second = against(stage, each.episode, other).advantages
            gradient = first * scores[0] + second * scores[1]
            mean, square = mean + p * q * gradient, square + p * q * gradient.square()
    return float((square - cast(torch.Tensor, mean).square()).sum())


def test_the_residual_baseline_has_the_same_expectation_and_less_variance():
    plain, residual = (reinforced("score", f"method.baseline={baseline}")[-1] for baseline in ("loo", "loo_residual"))
    learner = enumerable_learner(kl=KLEstimator.exact)
    expectations = [expected_update(learner, REFERENCE, assign=partial(against, stage)) for stage in (plain, residual)]
    for one, other in zip(*expectations, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
    ratios = [variance(plain, seed=seed) / variance(residual, seed=seed) for seed in (2, 3, 4)]
    print("variance of loo over loo_residual, three policies:", [f"{ratio:.2f}" for ratio in ratios])
    assert min(ratios) > 1.1


def test_three_attempts_train_stage_one_once_per_correction():
    stages = reinforced("score", "method.num_attempts=3", "training.rl.num_steps=9")
    assert [stage.name for stage in stages] == ["stage1a", "stage1b", "stage2"]
    assert [stage.kl_coefs for stage in stages] == [(BETA2, BETA1), (BETA2, BETA2, BETA1), (BETA1,)]
    assert [stage.num_attempts for stage in stages] == [2, 3, 3]
    assert sum(stage.num_steps for stage in stages) == 9
    assert stages[-1].reward(episode((0.0, 1.0, 0.0))) == (0.0, 11.0, -10.0)
