"""The update is the gradient of what the paper says: closed forms, by enumeration of a policy small enough for it."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.episode import TrainingSample
from bench.models.interface import KLEstimator
from bench.models.logprobs import TokenLogprobs, compute_logprobs
from bench.models.loss import estimate_kl, exact_kl, still_to_come
from bench.training.advantages import last_attempt_reward, per_attempt, progress_reward
from bench.training.reinforce import training_samples
from bench.training.stages import Reinforce
from tests.enumeration import (
    Value,
    conversations,
    enumerable_learner,
    expected_update,
    objective_gradient,
    tiny_lm,
)

REFERENCE = tiny_lm(1)


OBJECTIVES = {  # rewards of both attempts from their correctness, and KL coefficients
    "Stage I: r2, strong KL on the first attempt": (last_attempt_reward, (0.25, 0.01)),
    "Stage II: r1 and r2 with the bonus": (lambda row: progress_reward(row, alpha=10.0), (0.01, 0.01)),
    "KL alone": (lambda _: (0.0, 0.0), (1.0, 0.5)),
}


def updates_and_gradients(name: str, kl: KLEstimator) -> list[tuple[torch.Tensor, torch.Tensor]]:
    reward, kl_coefs = OBJECTIVES[name]
    stage = Reinforce(name="stage", num_steps=1, reward=per_attempt(reward), kl_coefs=kl_coefs)
    learner = enumerable_learner(kl=kl)
    updates = expected_update(
        learner, REFERENCE, assign=lambda one, other: training_samples([one, other], stage, group_size=2)[0]
    )
    rewards: tuple[Value, Value] = (lambda row: reward(row)[0]), (lambda row: reward(row)[1])
    gradients = objective_gradient(learner, REFERENCE, rewards=rewards, kl=kl_coefs)
    return list(zip(updates, gradients, strict=True))


def test_the_enumeration_is_complete():
    assert sum(each.probability for each in conversations(REFERENCE, REFERENCE)) == pytest.approx(1)


@pytest.mark.parametrize("kl", list(KLEstimator))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_expected_update_is_the_gradient_of_the_objective(name: str, kl: KLEstimator):
    pairs = updates_and_gradients(name, kl)
    assert max(gradient.abs().max().item() for _, gradient in pairs) > 1e-3
    for update, gradient in pairs:
        torch.testing.assert_close(update, gradient, atol=1e-6, rtol=1e-6)


def test_dropping_the_kl_still_to_come_would_optimise_something_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bench.models.loss.still_to_come", lambda values, _: values)
    pairs = updates_and_gradients("KL alone", KLEstimator.exact)
    assert max((update - gradient).abs().max().item() for update, gradient in pairs) > 1e-3


def test_the_reference_is_the_base_model_however_far_the_policy_has_moved():
    learner = enumerable_learner(kl=KLEstimator.exact, base_seed=1, seed=2)
    samples = [
        TrainingSample(each.episode, (0.0, 0.0), (1.0, 1.0)) for each in conversations(REFERENCE, REFERENCE)[:20]
    ]
    before = learner.backward(samples).kl["t1"]
    learner.update([TrainingSample(sample.episode, (5.0, 5.0), (0.0, 0.0)) for sample in samples])
    learner.model.load_state_dict(REFERENCE.state_dict())
    assert before > 0.01
    assert learner.backward(samples).kl["t1"] == pytest.approx(0, abs=1e-9)


def test_zero_advantages_and_coefficients_give_no_gradient_at_all():
    learner = enumerable_learner(kl=KLEstimator.exact)
    learner.backward(
        [TrainingSample(each.episode, (0.0, 0.0), (0.0, 0.0)) for each in conversations(REFERENCE, REFERENCE)]
    )
    assert all(parameter.grad is None for parameter in learner.model.parameters())


def gradient_of(learner, samples) -> torch.Tensor:
    learner.model.zero_grad()
    learner.backward(samples)
    return torch.cat([p.grad.flatten() for p in learner.model.parameters() if p.grad is not None])


def test_shuffling_rewards_changes_the_gradient():
    learner = enumerable_learner(kl=KLEstimator.exact)
    episodes = [each.episode for each in conversations(REFERENCE, REFERENCE)[:40]]
    weights = [(float(place % 3 - 1), float(place % 2)) for place in range(40)]
    one = gradient_of(learner, [TrainingSample(e, w, (0.0, 0.0)) for e, w in zip(episodes, weights, strict=True)])
    other = gradient_of(
        learner, [TrainingSample(e, w, (0.0, 0.0)) for e, w in zip(episodes, reversed(weights), strict=True)]
    )
    assert (one - other).abs().max() > 1e-3


def test_ten_times_the_kl_coefficient_gives_ten_times_its_gradient_and_leaves_the_rewards_alone():
    learner = enumerable_learner(kl=KLEstimator.exact)
    episodes = [each.episode for each in conversations(REFERENCE, REFERENCE)[:40]]

    def with_kl(coefficient: float) -> torch.Tensor:
        return gradient_of(learner, [TrainingSample(e, (0.3, -0.2), (coefficient, coefficient)) for e in episodes])

    rewards, once, tenfold = with_kl(0.0), with_kl(0.01), with_kl(0.1)
    assert (once - rewards).abs().max() > 1e-4
    torch.testing.assert_close(tenfold - rewards, 10 * (once - rewards), atol=1e-5, rtol=0)  # norms are float32


ADVANTAGES, COEFFICIENTS = (1.5, -0.5), (0.3, 0.7)


@pytest.mark.parametrize("place", [0, 1])
def test_an_advantage_or_coefficient_reaches_the_tokens_of_its_own_attempt_by_its_own_amount_and_no_others(
    place: int, monkeypatch: pytest.MonkeyPatch
):
    """Read off the gradient with respect to each scored token's log-probability and KL, one attempt at a time."""
    learner = enumerable_learner(kl=KLEstimator.exact)
    # 32, so that dividing by their number and multiplying again is exact
    samples = [
        TrainingSample(each.episode, (0.0, 0.0), (0.0, 0.0)) for each in conversations(REFERENCE, REFERENCE)[:32]
    ]
    seen: list[TokenLogprobs] = []

    def recorded(*arguments: Any, **options: Any) -> TokenLogprobs:
        scored = compute_logprobs(*arguments, **options)
        logprobs_N, kl_N = (each.detach().requires_grad_() for each in (scored.logprobs_N, scored.kl_N))
        seen.append(replace(scored, logprobs_N=logprobs_N, kl_N=kl_N))
        return seen[-1]

    def per_token(**values: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        learner.backward([replace(sample, **values) for sample in samples])
        (scored,) = seen
        seen.clear()
        assert scored.logprobs_N.grad is not None
        kl_gradient_N = torch.zeros_like(scored.kl_N) if scored.kl_N.grad is None else scored.kl_N.grad
        return (
            scored.labels_N == scored.labels.index(f"t{place + 1}"),
            scored.logprobs_N.grad * len(samples),
            kl_gradient_N * len(samples),
        )

    monkeypatch.setattr("bench.models.policy.compute_logprobs", recorded)
    inside_N, of_logprobs_N, of_kl_N = per_token(advantages=only(place, ADVANTAGES))
    assert set(of_logprobs_N[inside_N].tolist()) == {-ADVANTAGES[place]}
    assert not of_logprobs_N[~inside_N].any()
    assert not of_kl_N.any()
    inside_N, of_logprobs_N, of_kl_N = per_token(kl_coefs=only(place, COEFFICIENTS))
    assert set(of_kl_N[inside_N].tolist()) == {COEFFICIENTS[place]}
    assert of_logprobs_N[inside_N].abs().max() > 0.01
    assert not of_kl_N[~inside_N].any()
    assert not of_logprobs_N[~inside_N].any()


def only(place: int, values: tuple[float, float]) -> tuple[float, float]:
    return (values[0], 0.0) if place == 0 else (0.0, values[1])


def test_stage_one_moves_the_first_attempt_by_its_kl_even_where_rewards_are_constant():
    learner = enumerable_learner(kl=KLEstimator.exact)
    episodes = [each.episode for each in conversations(REFERENCE, REFERENCE)[:40]]
    assert gradient_of(learner, [TrainingSample(e, (0.0, 0.0), (0.1, 0.0)) for e in episodes]).abs().max() > 1e-4


def test_borders_of_micro_batches_change_nothing():
    episodes = [each.episode for each in conversations(REFERENCE, REFERENCE)]
    samples = [TrainingSample(e, (float(i % 5), float(i % 3)), (0.1, 0.2)) for i, e in enumerate(episodes)]
    whole = gradient_of(enumerable_learner(kl=KLEstimator.exact, batch_tokens=100_000), samples)
    for batch_tokens in (6, 30, 111):
        parts = gradient_of(enumerable_learner(kl=KLEstimator.exact, batch_tokens=batch_tokens), samples)
        torch.testing.assert_close(parts, whole)


def test_the_order_of_a_batch_changes_nothing():
    learner = enumerable_learner(kl=KLEstimator.exact)
    episodes = [each.episode for each in conversations(REFERENCE, REFERENCE)]
    samples = [TrainingSample(e, (float(i % 5), float(i % 3)), (0.1, 0.2)) for i, e in enumerate(episodes)]
    torch.testing.assert_close(gradient_of(learner, samples), gradient_of(learner, samples[::-1]))


def test_the_content_of_pads_never_changes_the_gradient(monkeypatch: pytest.MonkeyPatch):
    learner = enumerable_learner(kl=KLEstimator.exact)
    episodes = [each.episode for each in conversations(REFERENCE, REFERENCE)]
    samples = [TrainingSample(e, (1.0, -1.0), (0.1, 0.2)) for e in episodes]
    one = gradient_of(learner, samples)
    monkeypatch.setattr(learner.tokenizer, "pad_token_id", 1)
    torch.testing.assert_close(gradient_of(learner, samples), one)


def test_chunks_of_the_vocabulary_head_change_nothing(monkeypatch: pytest.MonkeyPatch):
    learner = enumerable_learner(kl=KLEstimator.exact)
    samples = [TrainingSample(each.episode, (1.0, -1.0), (0.1, 0.2)) for each in conversations(REFERENCE, REFERENCE)]
    whole = gradient_of(learner, samples)
    monkeypatch.setattr("bench.models.vocabulary._SMALL", 0)
    monkeypatch.setattr("bench.models.vocabulary._CHUNK_LOGITS", {"cpu": 30})  # of a vocabulary of four
    torch.testing.assert_close(gradient_of(learner, samples), whole)


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-3, 3)), min_size=1, max_size=20))
def test_what_is_still_to_come_ends_with_the_attempt(pairs: list[tuple[int, float]]):
    pairs.sort(key=lambda pair: pair[0])
    attempts = torch.tensor([attempt for attempt, _ in pairs])
    values = torch.tensor([value for _, value in pairs], dtype=torch.float64)
    expected = [
        sum(value for later, (other, value) in enumerate(pairs) if other == attempt and later >= place)
        for place, (attempt, _) in enumerate(pairs)
    ]
    torch.testing.assert_close(still_to_come(values, attempts), torch.tensor(expected, dtype=torch.float64))


logits = st.lists(st.floats(-4, 4), min_size=3, max_size=3)


@given(logits, logits)
@settings(max_examples=50)
def test_every_estimator_has_the_exact_kl_as_its_mean(mine: list[float], reference: list[float]):
    policy, other = torch.tensor([mine]).double(), torch.tensor([reference]).double()
    exact = exact_kl(policy, other).item()
    logprobs, reference_logprobs = policy.log_softmax(-1)[0], other.log_softmax(-1)[0]
    for estimator in (KLEstimator.k1, KLEstimator.k3):
        each = estimate_kl(logprobs_N=logprobs, reference_logprobs_N=reference_logprobs, estimator=estimator)
        assert (logprobs.exp() * each).sum().item() == pytest.approx(exact, abs=1e-9)
    assert exact >= -1e-12


def test_the_kl_runs_from_the_policy_to_the_reference_and_not_back():
    policy, reference = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])
    forward = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert exact_kl(policy, reference).item() == pytest.approx(forward)
    assert exact_kl(reference, policy).item() != pytest.approx(forward)


def test_k3_is_heavy_tailed_where_policy_and_reference_disagree_and_k1_is_not():
    policy = torch.tensor([[1e-4, 1 - 1e-4]]).double().log()
    reference = torch.tensor([[0.5, 0.5]]).double().log()
    variances = {}
    for estimator in (KLEstimator.k1, KLEstimator.k3):
        each = estimate_kl(logprobs_N=policy[0], reference_logprobs_N=reference[0], estimator=estimator)
        mean = (policy[0].exp() * each).sum()
        variances[estimator] = (policy[0].exp() * (each - mean).square()).sum().item()
    assert exact_kl(policy, reference).item() == pytest.approx(0.692, abs=1e-3)
    assert variances[KLEstimator.k1] == pytest.approx(0.008, abs=1e-3)
    assert variances[KLEstimator.k3] == pytest.approx(2490, abs=1)
