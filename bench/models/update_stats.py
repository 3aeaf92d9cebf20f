"""What an update looked like, summed over its micro-batches."""

from __future__ import annotations

import torch

from bench.models.logprobs import TokenLogprobs


class UpdateTotals:
    """What an update looked like, per attempt: log-probability drift, KL, entropy, length."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._tokens: dict[int, int] = {}

    def add(self, scores: TokenLogprobs, loss: torch.Tensor, *, trained_N: torch.Tensor) -> None:
        self._grow("loss", loss.item())
        self._grow("trained_tokens", trained_N.sum().item())
        for place in scores.places_N.unique().tolist():
            chosen_N = scores.places_N == place
            count = int(chosen_N.sum())
            self._tokens[place] = self._tokens.get(place, 0) + count
            self._grow(f"kl@t{place + 1}", scores.kl_N[chosen_N].sum().item())
            self._grow(f"entropy@t{place + 1}", scores.entropy_N[chosen_N].sum().item())
            drift_N = (scores.logprobs_N - scores.sampled_logprobs_N)[chosen_N].detach().abs()
            self._grow(f"logprob_diff@t{place + 1}", drift_N.sum().item())

    def means(self, num_episodes: int) -> dict[str, float]:
        """KL and loss per episode; entropy and drift per token; in all, the tokens that carried any loss."""
        means = {
            "loss": self._sums.get("loss", 0.0) / num_episodes,
            "trained_tokens": self._sums.get("trained_tokens", 0.0),
        }
        for place, tokens in sorted(self._tokens.items()):
            means[f"kl@t{place + 1}"] = self._sums[f"kl@t{place + 1}"] / num_episodes
            for name in ("entropy", "logprob_diff"):
                means[f"{name}@t{place + 1}"] = self._sums[f"{name}@t{place + 1}"] / max(1, tokens)
        return means

    def _grow(self, name: str, amount: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + amount
