"""What an update looked like, summed over its micro-batches."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedModel

from bench.models.flops import peak_flops, peak_memory_gib, update_flops
from bench.models.interface import UpdateStats
from bench.models.logprobs import TokenLogprobs

_CAP_SHOWN = 2.0  # of importance weights, where none is set


class UpdateTotals:
    def __init__(self, model: PreTrainedModel, *, importance_cap: float | None) -> None:
        self._model = model
        self._cap = importance_cap or _CAP_SHOWN
        self._loss = self._flops = 0.0
        self._trained_tokens = self._num_tokens = 0
        self._tokens: Counter[str] = Counter()  # by the reply's label, as the others
        self._kl: Counter[str] = Counter()
        self._entropy: Counter[str] = Counter()
        self._new: Counter[str] = Counter()  # tokens that were sampled for this update
        self._logprob_diff: Counter[str] = Counter()
        self._weights: Counter[str] = Counter()  # importance weights, and their squares
        self._squares: Counter[str] = Counter()
        self._clipped: Counter[str] = Counter()

    def add(
        self,
        scored: TokenLogprobs,
        loss: torch.Tensor,
        *,
        trained_N: torch.Tensor,
        lengths: Sequence[int],
        num_forwards: int,
    ) -> None:
        """`lengths` are of the batch's episodes, which went forward `num_forwards` times in all, and back once."""
        self._num_tokens += sum(lengths)
        self._flops += update_flops(self._model, lengths, len(scored.logprobs_N), num_forwards=num_forwards)
        self._loss += loss.item()
        self._trained_tokens += int(trained_N.sum())
        diff_N = (scored.logprobs_N - scored.sampled_logprobs_N).detach().abs()
        weights_N = scored.importance_N
        for number, label in enumerate(scored.labels):
            chosen_N = scored.labels_N == number
            new_N = chosen_N & scored.is_new_N
            self._tokens[label] += int(chosen_N.sum())
            self._new[label] += int(new_N.sum())
            for sums, values_N, of_N in (
                (self._kl, scored.kl_N, chosen_N),
                (self._entropy, scored.entropy_N, chosen_N),
                (self._logprob_diff, diff_N, new_N),
                (self._weights, weights_N, new_N),
                (self._squares, weights_N**2, new_N),
                (self._clipped, (weights_N > self._cap).float(), new_N),
            ):
                sums[label] += values_N[of_N].sum().item()  # pyright: ignore[reportArgumentType]

    def stats(self, num_episodes: int) -> UpdateStats:
        labels = sorted(self._tokens)

        def per_token(sums: Counter[str], tokens: Counter[str]) -> dict[str, float]:
            return {label: sums[label] / max(1, tokens[label]) for label in labels}

        sizes = {label: self._new[label] * self._squares[label] for label in labels}
        return UpdateStats(
            loss=self._loss / num_episodes,
            trained_tokens=self._trained_tokens,
            kl={label: self._kl[label] / num_episodes for label in labels},
            entropy=per_token(self._entropy, self._tokens),
            logprob_diff=per_token(self._logprob_diff, self._new),
            effective_sample_size={
                label: self._weights[label] ** 2 / size if size else 1.0 for label, size in sizes.items()
            },
            clipped=per_token(self._clipped, self._new),
            num_tokens=self._num_tokens,
            flops=self._flops,
        )


def timed(stats: UpdateStats, seconds: float, model: PreTrainedModel) -> UpdateStats:
    """With how long it took, and how well that was."""
    could = peak_flops(model.device, model.dtype)
    return replace(
        stats,
        seconds=seconds,
        mfu=could and stats.flops / seconds / could,
        peak_memory_gib=peak_memory_gib(model.device),
    )
