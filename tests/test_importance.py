"""How far sampler and learner are apart, and importance weights for it."""

from dataclasses import replace
from math import exp

import pytest
import torch

from bench.episode import Episode, TrainingSample
from bench.models.interface import KLEstimator, OptimizerConfig, UpdateStats
from bench.models.logprobs import compute_logprobs
from bench.models.policy import TransformersPolicy
from tests.made_episodes import episode


def begun(learner: TransformersPolicy, *, cap: float | None = None) -> TransformersPolicy:
    learner.begin(
        OptimizerConfig(learning_rate=1e-2), num_updates=10, kl_estimator=KLEstimator.exact, importance_cap=cap
    )
    return learner


def as_sampled(learner: TransformersPolicy, given: Episode, *, ratios: tuple[float, ...]) -> Episode:
    """Its sampler's log-probabilities lie below the learner's by the logarithms of `ratios`, one per token."""
    scores = compute_logprobs(learner.model, None, [given], pad_id=0, estimator=KLEstimator.exact)
    logprobs = (scores.logprobs_N.detach() - torch.tensor(ratios).log()).split(
        [stop - start for start, stop in given.spans]
    )
    replies = [
        replace(reply, completion=replace(reply.completion, logprobs=tuple(values.tolist())))
        for reply, values in zip(given.attempts, logprobs, strict=True)
    ]
    return replace(given, replies=tuple(replies))


def stats_of(learner: TransformersPolicy, given: Episode, *, kl: float = 0.0) -> UpdateStats:
    return learner.backward([TrainingSample(given, (1.0, 1.0), (kl, kl))])


def gradient(learner: TransformersPolicy, given: Episode, *, advantages: tuple[float, float]) -> torch.Tensor:
    for weight in learner._weights():
        weight.grad = None
    learner.backward([TrainingSample(given, advantages, (0.0, 0.0))])
    return torch.cat([weight.grad.flatten() for weight in learner._weights() if weight.grad is not None])


def test_mismatch_sample_size_and_clipped_tokens_are_counted_by_reply(tiny_learner: TransformersPolicy):
    given = as_sampled(begun(tiny_learner, cap=2.0), episode([0, 1]), ratios=(1.0, 1.0, 1.0, 3.0))
    stats = stats_of(tiny_learner, given)
    assert stats.logprob_diff == pytest.approx({"t1": 0, "t2": 1.0986 / 2}, abs=1e-4)
    assert stats.effective_sample_size == pytest.approx({"t1": 1, "t2": 16 / (2 * 10)}, abs=1e-4)
    assert stats.clipped == {"t1": 0, "t2": 0.5}


def test_without_a_cap_importance_weights_change_no_gradient_and_with_one_they_scale_each_token(
    tiny_learner: TransformersPolicy,
):
    plain = episode([0, 1])
    halves = as_sampled(begun(tiny_learner), plain, ratios=(0.5, 0.5, 3.0, 3.0))
    torch.testing.assert_close(
        gradient(tiny_learner, halves, advantages=(1.0, 1.0)), gradient(tiny_learner, plain, advantages=(1.0, 1.0))
    )
    expected = gradient(tiny_learner, plain, advantages=(0.5, 2.0))
    begun(tiny_learner, cap=2.0)
    torch.testing.assert_close(gradient(tiny_learner, halves, advantages=(1.0, 1.0)), expected, rtol=1e-4, atol=1e-5)


def test_a_prefilled_attempt_says_nothing_of_the_sampler(tiny_learner: TransformersPolicy):
    given = as_sampled(begun(tiny_learner), episode([0, 1]), ratios=(exp(2),) * 2 + (exp(1),) * 2)
    stats = stats_of(tiny_learner, replace(given, num_prefilled=1))
    assert stats.logprob_diff == pytest.approx({"t1": 0, "t2": 1}, abs=1e-4)
    assert stats.effective_sample_size["t1"] == 1
