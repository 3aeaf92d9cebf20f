"""The one loss that every method's weights move by, as pure functions of log-probabilities.

For an attempt y with weight w and KL coefficient β, the gradient descended is

    −w ∇log π(y)  +  β ∇KL(π(·|x) ‖ π_ref(·|x)),

averaged over episodes and *summed* over an attempt's tokens: the paper's expectations are over whole responses
(Eq. 2 to 4), so a mean over tokens would weigh an episode by its length. SFT is w = 1, β = 0; REINFORCE puts the
advantage in w.

The divergence of a *sequence* has two gradients: that of each position's KL given the prefix, and that of the prefix's
probability, which leads to positions of more or less divergence. The second is the score function times the divergence
still to come within the attempt. Dropping it (as per-token KL losses do) optimises something else; here it stays.

Axis: N sampled tokens of any number of attempts, one attempt after the other.
"""

from __future__ import annotations

import torch

from bench.policies.policy import KLEstimator


def surrogate(
    *,
    logprobs_N: torch.Tensor,
    kl_N: torch.Tensor,
    weights_N: torch.Tensor,
    kl_coefficients_N: torch.Tensor,
    attempts_N: torch.Tensor,
    estimator: KLEstimator,
) -> torch.Tensor:
    """A scalar, summed over all tokens, whose gradient is the module's formula; divide it by the number of episodes.

    `logprobs_N` and `kl_N` carry gradients; `attempts_N` numbers the attempt that each token belongs to, ascending.
    """
    to_come_N = still_to_come(kl_N.detach(), attempts_N)
    if estimator is KLEstimator.exact:
        # The whole distribution is in the term at hand, so the sampled token answers only for later positions.
        score_N, direct_N = to_come_N - kl_N.detach(), kl_N
    elif estimator is KLEstimator.k1:
        # The estimate's own gradient is ∇log π, zero in expectation: leaving it out removes noise, not signal.
        score_N, direct_N = to_come_N, torch.zeros_like(kl_N)
    else:
        score_N, direct_N = to_come_N, kl_N
    return (kl_coefficients_N * (direct_N + logprobs_N * score_N) - weights_N * logprobs_N).sum()


def still_to_come(values_N: torch.Tensor, attempts_N: torch.Tensor) -> torch.Tensor:
    """For each token, the sum of `values_N` from it to the end of its attempt, itself included."""
    if not len(values_N):
        return values_N
    suffix_N = values_N.double().flip(0).cumsum(0).flip(0)
    last_N = torch.searchsorted(attempts_N, attempts_N, right=True)  # one past the attempt's last token
    beyond_N = torch.cat([suffix_N, suffix_N.new_zeros(1)])[last_N]
    return (suffix_N - beyond_N).to(values_N.dtype)


def estimate_kl(
    *,
    logprobs_N: torch.Tensor,
    reference_logprobs_N: torch.Tensor,
    estimator: KLEstimator,
) -> torch.Tensor:
    """The sampled-token estimates of each position's KL(π ‖ π_ref); `exact` is `exact_kl`, which needs all logits."""
    ratio_N = logprobs_N - reference_logprobs_N
    if estimator is KLEstimator.k1:
        return ratio_N
    if estimator is KLEstimator.k3:
        return torch.expm1(-ratio_N) + ratio_N
    raise ValueError("the exact KL needs whole distributions: use exact_kl")


def exact_kl(logits_NV: torch.Tensor, reference_logits_NV: torch.Tensor) -> torch.Tensor:
    """Σ_v π(v) (log π(v) − log π_ref(v)) at each position."""
    logprobs_NV = logits_NV.log_softmax(dim=-1)
    reference_NV = reference_logits_NV.log_softmax(dim=-1)
    return (logprobs_NV.exp() * (logprobs_NV - reference_NV)).sum(dim=-1)
