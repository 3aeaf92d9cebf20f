"""The one loss that every method's weights move by, as pure functions of log-probabilities.

For a reply y with advantage A and KL coefficient β, the gradient descended is

    −A ∇log π(y)  +  β ∇KL(π(·|x) ‖ π_ref(·|x)),

averaged over episodes and *summed* over a reply's tokens: the paper's expectations are over whole responses
(Eq. 2 to 4), so a mean over tokens would weigh an episode by its length. In imitation
A = 1 and β = 0.

The divergence of a *sequence* has two gradients: that of each position's KL given the prefix, and that of the prefix's
probability, which leads to positions of more or less divergence. The second is the score function times the divergence
still to come within the reply. Dropping it (as per-token KL losses do) optimises something else; here it stays, less
a baseline that does not depend on the sample: what is still to come, from the same position on, in the replies of the
problem's other samples (`others_mean`, as RLOO does for rewards). On the miniature's short replies it hardly matters.

Axis: N sampled tokens of any number of replies, one reply after the other.
"""

from __future__ import annotations

import torch

from bench.models.interface import KLEstimator


def surrogate(
    *,
    logprobs_N: torch.Tensor,
    kl_N: torch.Tensor,
    advantages_N: torch.Tensor,
    kl_coefs_N: torch.Tensor,
    score_N: torch.Tensor,
    estimator: KLEstimator,
) -> torch.Tensor:
    """A scalar, summed over all tokens, whose gradient is the module's formula; divide it by the number of episodes.

    `logprobs_N` and `kl_N` carry gradients; `score_N` is what each token answers for (`answered_for`) less a baseline.
    """
    # k1's own gradient is ∇log π, zero in expectation: leaving it out removes noise, not signal.
    direct_N = torch.zeros_like(kl_N) if estimator is KLEstimator.k1 else kl_N
    return (kl_coefs_N * (direct_N + logprobs_N * score_N) - advantages_N * logprobs_N).sum()


def answered_for(kl_N: torch.Tensor, replies_N: torch.Tensor, estimator: KLEstimator) -> torch.Tensor:
    """The divergence that each token's choice leads to: detached, the score function's factor.

    `replies_N` numbers the reply that each token belongs to, ascending.
    """
    to_come_N = still_to_come(kl_N.detach(), replies_N)
    # The exact term holds the whole distribution at hand, so the sampled token answers only for later positions.
    return to_come_N - kl_N.detach() if estimator is KLEstimator.exact else to_come_N


def others_mean(values_N: torch.Tensor, *, groups_N: torch.Tensor, positions_N: torch.Tensor) -> torch.Tensor:
    """For each token the mean of `values_N` over the other replies of its group that reach the same position.

    Zero where there is none. It depends on nothing that the token's own reply sampled, so subtracting it leaves the
    gradient's expectation as it is. A group is the replies of one label (Episode.labels) to one problem.
    """
    if not len(values_N):
        return values_N
    keys_N = groups_N * (positions_N.max() + 1) + positions_N
    keys_N = keys_N.unique(return_inverse=True)[1]
    count = int(keys_N.max()) + 1
    sums = values_N.new_zeros(count).index_add_(0, keys_N, values_N)[keys_N]
    others = values_N.new_zeros(count).index_add_(0, keys_N, torch.ones_like(values_N))[keys_N] - 1
    return torch.where(others > 0, (sums - values_N) / others.clamp(min=1), torch.zeros_like(values_N))


def still_to_come(values_N: torch.Tensor, replies_N: torch.Tensor) -> torch.Tensor:
    """For each token, the sum of `values_N` from it to the end of its reply, itself included."""
    if not len(values_N):
        return values_N
    suffix_N = values_N.double().flip(0).cumsum(0).flip(0)
    last_N = torch.searchsorted(replies_N, replies_N, right=True)  # one past the reply's last token
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
