"""What an update looked like, summed over its micro-batches."""

from collections import Counter

import torch

from bench.models.interface import UpdateStats
from bench.models.logprobs import TokenLogprobs


class UpdateTotals:
    def __init__(self) -> None:
        self._loss = 0.0
        self._trained_tokens = 0
        self._tokens: Counter[str] = Counter()  # by the reply's label, as the others
        self._kl: Counter[str] = Counter()
        self._entropy: Counter[str] = Counter()
        self._logprob_diff: Counter[str] = Counter()

    def add(self, scored: TokenLogprobs, loss: torch.Tensor, *, trained_N: torch.Tensor) -> None:
        self._loss += loss.item()
        self._trained_tokens += int(trained_N.sum())
        diff_N = (scored.logprobs_N - scored.sampled_logprobs_N).detach().abs()
        for number, label in enumerate(scored.labels):
            chosen_N = scored.labels_N == number
            self._tokens[label] += int(chosen_N.sum())
            for sums, values_N in (
                (self._kl, scored.kl_N),
                (self._entropy, scored.entropy_N),
                (self._logprob_diff, diff_N),
            ):
                sums[label] += values_N[chosen_N].sum().item()  # pyright: ignore[reportArgumentType]

    def stats(self, num_episodes: int) -> UpdateStats:
        def per_token(sums: Counter[str]) -> dict[str, float]:
            return {label: sums[label] / max(1, tokens) for label, tokens in sorted(self._tokens.items())}

        return UpdateStats(
            loss=self._loss / num_episodes,
            trained_tokens=self._trained_tokens,
            kl={label: self._kl[label] / num_episodes for label in sorted(self._tokens)},
            entropy=per_token(self._entropy),
            logprob_diff=per_token(self._logprob_diff),
        )
