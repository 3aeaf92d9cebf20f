"""Drawing tokens from logits, each row by a uniform number of its own.

Axes: B rows, V vocabulary, N blocks of the vocabulary, K tokens of a block.
"""

import torch

from bench.episode import SamplingParams

_DRAW_BLOCK = 256  # tokens whose probabilities are added up at once


def draw(
    logits_BV: torch.Tensor, uniforms_B: torch.Tensor | None, sampling: SamplingParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and their log-probabilities; the token is where the cumulative probability passes the uniform number."""
    if uniforms_B is None:
        drawn_B = logits_BV.argmax(dim=1)
        return drawn_B, _log_softmax_at(logits_BV, drawn_B)
    logits_BV = _truncate(logits_BV / sampling.temperature, sampling)
    normaliser_B1 = logits_BV.logsumexp(dim=1, keepdim=True)
    logprobs_BV = logits_BV - normaliser_B1
    drawn_B = _at_cumulative(logprobs_BV.exp(), uniforms_B)
    return drawn_B, logprobs_BV.gather(1, drawn_B[:, None])[:, 0]


def _at_cumulative(probs_BV: torch.Tensor, uniforms_B: torch.Tensor) -> torch.Tensor:
    """Where the cumulative probability, in float64, passes the uniform number: first the block, then the token in it.

    Over 150,000 tokens float32 would round the sum by more than the probability of a rare one; in blocks only the
    sums are added up in float64.
    """
    padding = -probs_BV.shape[1] % _DRAW_BLOCK
    blocks_BNK = torch.nn.functional.pad(probs_BV, (0, padding)).unflatten(1, (-1, _DRAW_BLOCK))
    blocks_BN = blocks_BNK.sum(dim=2, dtype=torch.float64).cumsum(dim=1)
    threshold_B1 = uniforms_B[:, None] * blocks_BN[:, -1:]
    block_B1 = _first_above(blocks_BN, threshold_B1)
    before_B1 = torch.where(block_B1 > 0, blocks_BN.gather(1, (block_B1 - 1).clamp(min=0)), 0.0)
    inside_BK = blocks_BNK[torch.arange(len(probs_BV), device=probs_BV.device), block_B1[:, 0]].double().cumsum(dim=1)
    return (block_B1 * _DRAW_BLOCK + _first_above(inside_BK, threshold_B1 - before_B1))[:, 0]


def _first_above(cumulative_BN: torch.Tensor, threshold_B1: torch.Tensor) -> torch.Tensor:
    """The first entry above the threshold, [B, 1]; however the sums were rounded, one whose own part is not zero."""
    last_B1 = cumulative_BN[:, -1:]
    below_last_B1 = torch.nextafter(last_B1, torch.zeros_like(last_B1))
    threshold_B1 = torch.minimum(threshold_B1, below_last_B1).clamp(min=0)
    return torch.searchsorted(cumulative_BN, threshold_B1, right=True)


def _log_softmax_at(logits_BV: torch.Tensor, ids_B: torch.Tensor) -> torch.Tensor:
    return logits_BV.gather(1, ids_B[:, None])[:, 0] - logits_BV.logsumexp(dim=1)


def _truncate(logits_BV: torch.Tensor, sampling: SamplingParams) -> torch.Tensor:
    """Only the `top_k` likeliest tokens, then the fewest of them whose probabilities reach `top_p`."""
    if sampling.top_k:
        kth_B1 = logits_BV.topk(min(sampling.top_k, logits_BV.shape[1]), dim=1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < kth_B1, -torch.inf)
    if sampling.top_p < 1:
        sorted_BV, order_BV = logits_BV.sort(dim=1, descending=True)
        before_BV = sorted_BV.softmax(dim=1).cumsum(dim=1) - sorted_BV.softmax(dim=1)
        cut_BV = torch.zeros_like(before_BV, dtype=torch.bool).scatter(1, order_BV, before_BV >= sampling.top_p)
        logits_BV = logits_BV.masked_fill(cut_BV, -torch.inf)
    return logits_BV
