"""Sampling from a transformers causal LM: an own loop over forward and cache.

`generate()` of transformers draws one stream of random numbers for a whole batch; here every request has its own, so
a reply depends on its request alone and not on who shares the batch. The loop also returns log-probabilities under
the distribution sampled from, and lets go of rows as they end.

Axes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache, PreTrainedModel

from bench.episode import Completion, Request, SamplingParams
from bench.models.pace import Pace, shown
from bench.models.stopping import completed_stop, cut_after


@dataclass(slots=True)
class _Row:
    """A reply in the making."""

    index: int  # of its request
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    turn_ended: bool = False
    stop: str = ""  # the stop string that ended it

    @property
    def done(self) -> bool:
        return self.turn_ended or bool(self.stop)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    requests: Sequence[Request],
    sampling: SamplingParams,
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    batch_tokens: int,
    decode: Callable[[Sequence[int]], str],
) -> list[Completion]:
    """One completion per request, in order.

    `batch_tokens` bounds rows x (longest prompt + max_tokens) of one batch; requests are batched by length so that
    little of it is padding. Under greedy sampling the log-probabilities are the model's own (temperature 1).
    """
    by_length = sorted(range(len(requests)), key=lambda index: len(requests[index].token_ids))
    rows: list[_Row] = []
    pace = Pace(num_rows=len(requests), max_tokens=sampling.max_tokens)
    with shown(pace):
        while by_length:
            longest = len(requests[by_length[-1]].token_ids) + sampling.max_tokens
            size = max(1, batch_tokens // longest)
            batch, by_length = by_length[-size:], by_length[:-size]
            rows += _generate_batch(
                model, requests, batch, sampling, pace, stop_ids=stop_ids, pad_id=pad_id, decode=decode
            )
    rows.sort(key=lambda row: row.index)
    return [
        Completion(
            text=cut_after(decode(row.ids[:-1] if row.turn_ended else row.ids), row.stop),
            token_ids=tuple(row.ids),
            logprobs=tuple(row.logprobs),
            truncated=not row.done,
            stop=row.stop,
        )
        for row in rows
    ]


def _generate_batch(
    model: PreTrainedModel,
    requests: Sequence[Request],
    batch: Sequence[int],
    sampling: SamplingParams,
    pace: Pace,
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    decode: Callable[[Sequence[int]], str],
) -> list[_Row]:
    rows = [_Row(index) for index in batch]
    prompts = [requests[index].token_ids for index in batch]
    width = max(map(len, prompts))
    ids_BT = torch.tensor([(pad_id,) * (width - len(ids)) + tuple(ids) for ids in prompts], device=model.device)
    mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=model.device)
    uniforms_BT = _uniforms([requests[index].seed for index in batch], sampling).to(model.device)
    stops = torch.tensor(sorted(stop_ids), device=model.device)
    cache = DynamicCache(config=model.config)
    positions_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
    live = list(rows)
    for step in range(sampling.max_tokens):
        logits_BV = model(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            past_key_values=cache,
            logits_to_keep=1,
            use_cache=True,
        ).logits[:, -1]
        drawn_B, logprobs_B = _draw(logits_BV.float(), uniforms_BT[:, step] if len(uniforms_BT) else None, sampling)
        ended_B = torch.isin(drawn_B, stops)
        for row, token, logprob, ended in zip(
            live, drawn_B.tolist(), logprobs_B.tolist(), ended_B.tolist(), strict=True
        ):
            if not row.done:
                row.ids.append(token)
                row.logprobs.append(logprob)
                row.turn_ended = ended
                row.stop = "" if ended else completed_stop(row.ids, requests[row.index].stop, decode)
                pace.tokens += 1
                if row.done or len(row.ids) == sampling.max_tokens:
                    pace.rows_done += 1
                    pace.tokens_done += len(row.ids)
        going = [place for place, row in enumerate(live) if not row.done]
        if not going:
            break
        ids_BT = drawn_B[:, None]
        positions_BT = positions_BT[:, -1:] + 1
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(live), 1)], dim=1)
        if len(going) <= len(live) // 2:  # letting go copies the cache: worth it once half of it is dead
            keep_B = torch.tensor(going, device=model.device)
            cache.batch_select_indices(keep_B)
            ids_BT, positions_BT, mask_BT = ids_BT[keep_B], positions_BT[keep_B], mask_BT[keep_B]
            uniforms_BT = uniforms_BT[keep_B] if len(uniforms_BT) else uniforms_BT
            live = [live[place] for place in going]
    return rows


def _uniforms(seeds: Sequence[int], sampling: SamplingParams) -> torch.Tensor:
    """A number in [0, 1) per row and position, from the row's own seed; none for greedy decoding."""
    if sampling.temperature == 0:
        return torch.empty(0)
    # Of a 63-bit seed torch's CPU generator uses the low 32 bits: among millions of requests some share a stream.
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.rand(sampling.max_tokens, generator=stream, dtype=torch.float64) for stream in streams])


def _draw(
    logits_BV: torch.Tensor, uniforms_B: torch.Tensor | None, sampling: SamplingParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and their log-probabilities; the token is where the cumulative probability passes the uniform number."""
    if uniforms_B is None:
        drawn_B = logits_BV.argmax(dim=1)
        return drawn_B, _log_softmax_at(logits_BV, drawn_B)
    logits_BV = _truncate(logits_BV / sampling.temperature, sampling)
    cumulative_BV = logits_BV.double().softmax(dim=1).cumsum(dim=1)
    # Scaling by the last entry guards against a cumulative sum that ends a rounding error short of 1.
    threshold_B1 = uniforms_B[:, None] * cumulative_BV[:, -1:]
    drawn_B = torch.searchsorted(cumulative_BV, threshold_B1, right=True)[:, 0].clamp(max=logits_BV.shape[1] - 1)
    return drawn_B, _log_softmax_at(logits_BV, drawn_B)


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
