"""Sampling from a transformers causal LM: an own loop over forward and cache.

`generate()` of transformers draws one stream of random numbers for a whole batch; here every request has its own, so
a reply depends on its request alone and not on who shares the batch. The loop also returns log-probabilities under
the distribution sampled from. A row that ends makes room for the next request, and requests that share a prompt read it
once.

Axes: B rows, T positions, H hidden size, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from transformers import PreTrainedModel

from bench.episode import Completion, Request, SamplingParams
from bench.models.drawing import draw
from bench.models.kv_cache import SlotCache, slot_attention
from bench.models.logprobs import head
from bench.models.pace import Pace, shown
from bench.models.stopping import completed_stop, cut_after

_REFILL_SHARE = 4  # prompts are read when this part of the slots is free: reading few at a time costs a forward each


@dataclass(slots=True)
class _Row:
    """A reply in the making."""

    index: int  # of its request
    request: Request
    uniforms: list[float]  # one per token to come; empty for greedy decoding
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    turn_ended: bool = False
    stop: str = ""  # the stop string that ended it

    @property
    def done(self) -> bool:
        return self.turn_ended or bool(self.stop)

    @property
    def position(self) -> int:
        """Of its last token in the conversation."""
        return len(self.request.token_ids) + len(self.ids) - 1


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
    on_done: Callable[[int, Completion], None] | None = None,
) -> list[Completion]:
    """One completion per request, in order.

    `batch_tokens` bounds rows x (longest prompt + max_tokens) of what is sampled at once. Under greedy sampling the
    log-probabilities are the model's own (temperature 1). `on_done` gets a request's number and its completion as soon
    as it is complete, in the order in which they are.
    """
    loop = _Loop(model, sampling, stop_ids=stop_ids, pad_id=pad_id, decode=decode)
    completions: dict[int, Completion] = {}
    pace = Pace(num_rows=len(requests), max_tokens=sampling.max_tokens)
    with shown(pace), slot_attention(model):
        for batch in _of_similar_length(requests, sampling.max_tokens):
            capacity = len(requests[batch[0]].token_ids) + sampling.max_tokens
            rows = [_Row(index, requests[index], _uniforms(requests[index].seed, sampling)) for index in batch]
            for row in loop.run(rows, num_slots=max(1, batch_tokens // capacity), capacity=capacity, pace=pace):
                completions[row.index] = _completion(row, decode)
                if on_done:
                    on_done(row.index, completions[row.index])
    return [completions[index] for index in range(len(requests))]


def check_sampling(model: PreTrainedModel) -> None:
    """Compare a few sampled tokens' log-probabilities with the model's own forward, which knows no slots.

    Raises ValueError for a model whose attention, positions or cache the loop does not know.
    """
    prompts = [(0, 1, 2, 3), (2, 1)]
    requests = [Request(ids, seed=0, problem_id="", sample=0, turn=0) for ids in prompts]
    greedy = SamplingParams(temperature=0.0, max_tokens=3)
    try:
        found = generate(
            model, requests, greedy, stop_ids=frozenset(), pad_id=0, batch_tokens=64, decode=lambda ids: str(len(ids))
        )
        with torch.no_grad():
            whole = [
                torch.tensor([[*ids, *each.token_ids]], device=model.device)
                for ids, each in zip(prompts, found, strict=True)
            ]
            own = [model(input_ids=ids_1T, use_cache=False).logits[0].float().log_softmax(-1) for ids_1T in whole]
        differences = [
            (own_TV[len(ids) - 1 : -1].gather(1, ids_1T[0, len(ids) :, None])[:, 0].cpu() - torch.tensor(each.logprobs))
            .abs()
            .max()
            for ids, ids_1T, own_TV, each in zip(prompts, whole, own, found, strict=True)
        ]
        # In bfloat16 two orders of summing differ; this bound finds a wrong mask or position, not a rounding.
        same = max(differences) < (1e-2 if model.dtype == torch.float32 else 0.5)
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError):
        same = False
    if not same:
        raise ValueError(
            f"the transformers sampler cannot run {type(model).__name__}: its attention is not plain, windowed or "
            "soft-capped attention over keys and values; a model of the Llama, Qwen, Mistral or Gemma families works"
        )


def _completion(row: _Row, decode: Callable[[Sequence[int]], str]) -> Completion:
    return Completion(
        text=cut_after(decode(row.ids[:-1] if row.turn_ended else row.ids), row.stop),
        token_ids=tuple(row.ids),
        logprobs=tuple(row.logprobs),
        truncated=not row.done,
        stop=row.stop,
    )


def _of_similar_length(requests: Sequence[Request], max_tokens: int) -> Iterator[list[int]]:
    """Numbers of requests, longest prompts first and equal ones together; a list spans at most a factor of 2.

    A slot is as large as its list's longest conversation: one long prompt shall not cost all others their places.
    """
    order = sorted(range(len(requests)), key=lambda index: (-len(requests[index].token_ids), requests[index].token_ids))
    batch: list[int] = []
    for index in order:
        if batch and 2 * (len(requests[index].token_ids) + max_tokens) < (
            len(requests[batch[0]].token_ids) + max_tokens
        ):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class _Loop:
    """Samples rows of one list; rows that are being sampled fill the first slots of the cache without a gap."""

    def __init__(
        self,
        model: PreTrainedModel,
        sampling: SamplingParams,
        *,
        stop_ids: frozenset[int],
        pad_id: int,
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        self._model = model
        self._sampling = sampling
        self._stop_ids = stop_ids
        self._pad_id = pad_id
        self._decode = decode

    def run(self, rows: Sequence[_Row], *, num_slots: int, capacity: int, pace: Pace) -> Iterator[_Row]:
        """Yields each row as it ends."""
        num_slots = min(num_slots, len(rows))
        cache = SlotCache(num_slots, capacity)
        waiting, live = list(reversed(rows)), list[_Row]()
        while waiting or live:
            free = num_slots - len(live)
            if waiting and free >= min(len(waiting), max(1, num_slots // _REFILL_SHARE)):
                new = [waiting.pop() for _ in range(min(free, len(waiting)))]
                hidden_BH = self._read_prompts(cache, new, first_slot=len(live))
                live += new
            else:
                new = live
                hidden_BH = self._read_tokens(cache, live)
            self._append(new, hidden_BH, pace)
            ended = [row for row in live if row.done or len(row.ids) == self._sampling.max_tokens]
            if ended:
                live = self._close_gaps(cache, live, {row.index for row in ended})
                pace.rows_done += len(ended)
                pace.tokens_done += sum(len(row.ids) for row in ended)
                yield from ended

    def _read_prompts(self, cache: SlotCache, rows: Sequence[_Row], *, first_slot: int) -> torch.Tensor:
        """Hidden states [B, H] at the prompts' ends; equal prompts, which stand together, are read once."""
        groups = [list(group) for _, group in groupby(enumerate(rows), key=lambda each: each[1].request.token_ids)]
        prompts = [group[0][1].request.token_ids for group in groups]
        width = max(map(len, prompts))
        device = self._model.device
        ids_BT = torch.tensor([ids + (self._pad_id,) * (width - len(ids)) for ids in prompts], device=device)
        positions_1T = torch.arange(width, device=device)[None]
        cache.expect_prompts(first_slot, len(prompts))
        hidden_BTH = self._forward(cache, ids_BT, positions_1T)
        last_B = torch.tensor([len(ids) - 1 for ids in prompts], device=device)
        hidden_BH = hidden_BTH[torch.arange(len(prompts), device=device), last_B]
        # Prompt g was read into slot first + g; its rows' slots come later or are the same. The last goes first, so
        # that no slot is written before it was copied.
        for number in range(len(groups) - 1, -1, -1):
            source = first_slot + number
            targets = [first_slot + place for place, _ in groups[number] if first_slot + place != source]
            cache.copy([source] * len(targets), targets, width)
        owners = [number for number, group in enumerate(groups) for _ in group]
        return hidden_BH[torch.tensor(owners, device=device)]

    def _read_tokens(self, cache: SlotCache, live: Sequence[_Row]) -> torch.Tensor:
        ids_B1 = torch.tensor([[row.ids[-1]] for row in live], device=self._model.device)
        positions_B1 = cache.expect_tokens([row.position for row in live], self._model.device)
        return self._forward(cache, ids_B1, positions_B1)[:, 0]

    def _forward(self, cache: SlotCache, ids_BT: torch.Tensor, positions_BT: torch.Tensor) -> torch.Tensor:
        return self._model.base_model(
            input_ids=ids_BT, position_ids=positions_BT, past_key_values=cache, use_cache=True, slots=cache
        ).last_hidden_state

    def _append(self, rows: Sequence[_Row], hidden_BH: torch.Tensor, pace: Pace) -> None:
        """A token more for each row."""
        uniforms_B = None
        if self._sampling.temperature:
            uniforms_B = torch.tensor([row.uniforms[len(row.ids)] for row in rows], dtype=torch.float64)
            uniforms_B = uniforms_B.to(hidden_BH.device)
        drawn_B, logprobs_B = draw(head(self._model, hidden_BH), uniforms_B, self._sampling)
        for row, token, logprob in zip(rows, drawn_B.tolist(), logprobs_B.tolist(), strict=True):
            row.ids.append(token)
            row.logprobs.append(logprob)
            row.turn_ended = token in self._stop_ids
            row.stop = "" if row.turn_ended else completed_stop(row.ids, row.request.stop, self._decode)
        pace.tokens += len(rows)

    @staticmethod
    def _close_gaps(cache: SlotCache, live: Sequence[_Row], ended: set[int]) -> list[_Row]:
        """The rows that go on, the last of them moved into slots that ended before them."""
        num_left = len(live) - len(ended)
        gaps = [slot for slot, row in enumerate(live[:num_left]) if row.index in ended]
        moved = [slot for slot in range(num_left, len(live)) if live[slot].index not in ended]
        cache.copy(moved, gaps, width=max((live[slot].position + 1 for slot in moved), default=0))
        left = list(live[:num_left])
        for gap, slot in zip(gaps, moved, strict=True):
            left[gap] = live[slot]
        return left


def _uniforms(seed: int, sampling: SamplingParams) -> list[float]:
    """A number in [0, 1) per token, from the row's own seed; none for greedy decoding."""
    if sampling.temperature == 0:
        return []
    # Of a 63-bit seed torch's CPU generator uses the low 32 bits: among millions of requests some share a stream.
    stream = torch.Generator().manual_seed(seed)
    return torch.rand(sampling.max_tokens, generator=stream, dtype=torch.float64).tolist()
