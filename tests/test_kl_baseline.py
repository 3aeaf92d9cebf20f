"""The score function's part of the KL is less noisy for its baseline, and expects the same."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.episode import Problem, TrainingSample
from bench.models.interface import KLEstimator
from bench.models.logprobs import compute_logprobs
from bench.models.loss import answered_for, others_mean, surrogate
from bench.models.policy import TransformersPolicy
from tests.enumeration import END, Conversation, conversations, enumerable_learner, objective_gradient, tiny_lm

REFERENCE = tiny_lm(1)
KL = (0.7, 0.0)


def firsts(learner: TransformersPolicy) -> list[tuple[Conversation, float]]:
    """A conversation for each of the 13 first attempts, with the first attempt's probability."""
    enumerated = [
        each
        for each in conversations(learner.model, REFERENCE)
        if each.episode.attempts[1].completion.token_ids == (END,)
    ]
    assert len(enumerated) == 13
    return [(each, each.logprobs[0].exp().item()) for each in enumerated]


def pair(
    one: Conversation, other: Conversation, name: str, coefficient: float, kl: tuple[float, float] = KL
) -> list[TrainingSample]:
    """Two samples of one problem, drawn together."""
    problem = Problem(name, "?", "!")
    kl = (coefficient * kl[0], coefficient * kl[1])
    return [TrainingSample(replace(each.episode, problem=problem), (0.0, 0.0), kl) for each in (one, other)]


def gradient(learner: TransformersPolicy, samples: Sequence[TrainingSample]) -> torch.Tensor:
    learner.model.zero_grad()
    learner.backward(samples)
    return torch.cat([each.grad.flatten() for each in learner.model.parameters() if each.grad is not None])


@pytest.mark.parametrize("estimator", list(KLEstimator))
def test_over_all_pairs_of_samples_the_update_is_the_gradient_of_the_divergence(estimator: KLEstimator):
    learner = enumerable_learner(kl=estimator)
    drawn = firsts(learner)
    num_samples = 2 * len(drawn) ** 2
    samples = [
        sample
        for number, ((one, p), (other, q)) in enumerate(product(drawn, drawn))
        for sample in pair(one, other, f"p{number}", num_samples * p * q / 2)
    ]
    expected = objective_gradient(learner, REFERENCE, rewards=(lambda _: 0.0, lambda _: 0.0), kl=KL)
    closed = -torch.cat([each.flatten() for each in expected])
    assert closed.abs().max() > 1e-3
    torch.testing.assert_close(gradient(learner, samples), closed, atol=1e-6, rtol=1e-6)


def test_so_it_is_for_second_attempts_that_answer_other_first_ones():
    learner = enumerable_learner(kl=KLEstimator.exact)
    enumerated = conversations(learner.model, REFERENCE)
    num_samples = 2 * len(enumerated) ** 2
    samples = [
        sample
        for number, (one, other) in enumerate(product(enumerated, enumerated))
        for sample in pair(one, other, f"p{number}", num_samples * one.probability * other.probability / 2, (0.0, 0.7))
    ]
    expected = objective_gradient(learner, REFERENCE, rewards=(lambda _: 0.0, lambda _: 0.0), kl=(0.0, 0.7))
    closed = -torch.cat([each.flatten() for each in expected])
    torch.testing.assert_close(gradient(learner, samples), closed, atol=1e-6, rtol=1e-6)


def test_a_pair_that_is_compared_moves_otherwise_than_two_that_are_not():
    learner = enumerable_learner(kl=KLEstimator.exact)
    drawn = {each.episode.attempts[0].completion.token_ids: each for each, _ in firsts(learner)}
    one, other = drawn[0, 1], drawn[2, 2]
    apart = [pair(one, one, "p1", 1.0)[0], pair(other, other, "p2", 1.0)[0]]
    assert (gradient(learner, pair(one, other, "p", 1.0)) - gradient(learner, apart)).abs().max() > 1e-3


def test_where_all_replies_diverge_alike_the_score_functions_part_vanishes():
    """Four samples of fifty tokens from a policy without memory: what is still to come is the same in all of them."""
    torch.manual_seed(0)
    theta_V, reference_V = torch.randn(5, requires_grad=True), torch.randn(5).log_softmax(0)
    replies_N = torch.arange(4).repeat_interleave(50)

    def draw(*, baseline: bool) -> torch.Tensor:
        log_V = theta_V.log_softmax(0)
        kl_N = (log_V.exp() * (log_V - reference_V)).sum().expand(200)
        sampled_N = torch.multinomial(log_V.exp().detach(), 200, replacement=True)
        score_N = answered_for(kl_N, replies_N, KLEstimator.exact)
        if baseline:
            groups_N = torch.zeros(200, dtype=torch.long)
            score_N = score_N - others_mean(score_N, groups_N=groups_N, positions_N=torch.arange(50).repeat(4))
        loss = surrogate(
            logprobs_N=log_V[sampled_N],
            kl_N=kl_N,
            advantages_N=torch.zeros(200),
            kl_coefs_N=torch.ones(200),
            score_N=score_N,
            estimator=KLEstimator.exact,
        )
        return torch.autograd.grad(loss, theta_V)[0]

    without, compared = (torch.stack([draw(baseline=on) for _ in range(100)]) for on in (False, True))
    assert without.var(0).sum() > 1e4 * compared.var(0).sum()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=8), st.randoms())
def test_the_baseline_is_the_mean_over_other_attempts_that_reach_the_position(attempts, random):
    """`attempts` holds (group, length); a token's baseline never holds a value of its own attempt."""
    rows = [
        (number, group, position, random.uniform(-3, 3))
        for number, (group, length) in enumerate(attempts)
        for position in range(length)
    ]
    expected = []
    for number, group, position, _ in rows:
        others = [v for n, g, p, v in rows if g == group and p == position and n != number]
        expected.append(sum(others) / len(others) if others else 0.0)
    means_N = others_mean(
        torch.tensor([value for *_, value in rows], dtype=torch.float64),
        groups_N=torch.tensor([group for _, group, _, _ in rows]),
        positions_N=torch.tensor([position for _, _, position, _ in rows]),
    )
    torch.testing.assert_close(means_N, torch.tensor(expected, dtype=torch.float64))


def test_samples_that_diverge_alike_learn_from_their_own_positions_alone():
    learner = enumerable_learner(kl=KLEstimator.exact)
    one = firsts(learner)[-1][0]
    scores = compute_logprobs(learner.model, REFERENCE, [one.episode], pad_id=END, estimator=KLEstimator.exact)
    direct = torch.autograd.grad(
        (KL[0] * scores.kl_N[scores.labels_N == scores.labels.index("t1")]).sum(), list(learner.model.parameters())
    )
    torch.testing.assert_close(
        gradient(learner, pair(one, one, "p", 1.0)), torch.cat([each.flatten() for each in direct])
    )
