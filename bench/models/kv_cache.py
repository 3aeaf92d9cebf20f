"""A key-value cache for rows of different lengths that come and go, and the attention over it.

transformers' own cache appends every layer's keys to a new tensor at every token and keeps rows padded to one length,
and its attention copies keys once per query head. Here a row has a slot of fixed size, a token's key is written in
place, and the query heads that share a key-value head are folded into the query axis, so that nothing is copied.

Axes: S slots, B rows of this forward, H key-value heads, G query heads per key-value head, Q new positions, C positions
that fit into a slot, W positions in use, D head size.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import Cache, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_ATTENTION = "slots"  # no mask is registered under this name, so transformers makes none


class SlotCache(Cache):
    """Keys and values by slot; position p of a row lies in column p of its slot.

    Before a forward, `expect_prompts` or `expect_tokens` says which rows it is for.
    """

    def __init__(self, num_slots: int, capacity: int) -> None:
        super().__init__(layers=[])
        self._shape = (num_slots, capacity)
        self._keys: list[torch.Tensor] = []  # per layer [S, H, C, D]
        self._values: list[torch.Tensor] = []
        self._slots = slice(0)
        self._positions_B: torch.Tensor | None = None
        self._masks: dict[int | None, torch.Tensor] = {}

    def expect_prompts(self, first_slot: int, num_rows: int) -> None:
        """The next forward reads prompts from their start, padded on the right, into slots from `first_slot` on.

        What the pads leave behind lies beyond a row's last position: masked, and overwritten as the row grows.
        """
        self._slots, self._positions_B, self._masks = slice(first_slot, first_slot + num_rows), None, {}

    def expect_tokens(self, positions: Sequence[int], device: torch.device) -> torch.Tensor:
        """The next forward adds a token to each of the first rows, at these positions; returns them, [B, 1]."""
        self._slots, self._masks = slice(0, len(positions)), {}
        self._positions_B = torch.tensor(positions, device=device)
        self._width = max(positions) + 1
        self._rows_B = torch.arange(len(positions), device=device)
        return self._positions_B[:, None]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store [B, H, Q, D] of a layer; returns what its queries see: themselves, or all of their rows so far."""
        if layer_idx == len(self._keys):
            slots, capacity = self._shape
            for store, new in ((self._keys, key_states), (self._values, value_states)):
                # Zeros: a masked column counts 0 times its value, and an uninitialised value may be NaN.
                store.append(new.new_zeros(slots, new.shape[1], capacity, new.shape[3]))
        keys, values = self._keys[layer_idx][self._slots], self._values[layer_idx][self._slots]
        if self._positions_B is None:
            keys[:, :, : key_states.shape[2]] = key_states
            values[:, :, : value_states.shape[2]] = value_states
            return key_states, value_states
        keys[self._rows_B, :, self._positions_B] = key_states[:, :, 0]
        values[self._rows_B, :, self._positions_B] = value_states[:, :, 0]
        return keys[:, :, : self._width], values[:, :, : self._width]

    def copy(self, sources: Sequence[int], targets: Sequence[int], width: int) -> None:
        """The first `width` positions of some slots into others; no target is a source."""
        if sources:
            for store in (*self._keys, *self._values):
                store[list(targets), :, :width] = store[list(sources), :, :width]

    def visible(self, query_length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
        """Which columns a query sees, broadcastable to [B, 1, Q, W]; None: plain causal attention from the start."""
        if self._positions_B is None and (window is None or query_length <= window):
            return None
        if window not in self._masks:
            if self._positions_B is None:
                columns, positions = (
                    torch.arange(query_length, device=device),
                    torch.arange(query_length, device=device),
                )
                mask = columns[None, :] <= positions[:, None]
                mask &= columns[None, :] > positions[:, None] - (window or query_length)
                self._masks[window] = mask[None, None]
            else:
                columns = torch.arange(self._width, device=device)
                mask = columns[None, :] <= self._positions_B[:, None]
                if window is not None:
                    mask &= columns[None, :] > self._positions_B[:, None] - window
                self._masks[window] = mask[:, None, None]
        return self._masks[window]

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002  transformers' signature
        """Unknown to a cache of rows of several lengths; positions are given to every forward."""
        return 0


@contextmanager
def slot_attention(model: PreTrainedModel) -> Iterator[None]:
    """`model` attends over a SlotCache in the block, which each forward gets as `past_key_values` and as `slots`."""
    config = model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = _ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _attention_mask: torch.Tensor | None,
    *,
    slots: SlotCache,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """[B, H·G, Q, D] queries over [B, H, W, D] keys; returns [B, Q, H·G, D], as transformers wants it."""
    rows, heads, length, size = query.shape
    mask = slots.visible(length, sliding_window, query.device)
    if length == 1:  # the query heads of one key-value head become its queries: they see the same columns
        query = query.reshape(rows, key.shape[1], -1, size)
    elif heads != key.shape[1]:
        key, value = (each.repeat_interleave(heads // key.shape[1], dim=1) for each in (key, value))
    if softcap is None:
        causal = mask is None and length > 1
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling, is_causal=causal
        )
    else:
        scores = query @ key.transpose(2, 3) * (size**-0.5 if scaling is None else scaling)
        scores = torch.tanh(scores / softcap) * softcap
        if mask is None:
            mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1, dtype=torch.float32)
        out = weights.to(query.dtype) @ value
    return out.reshape(rows, heads, length, -1).transpose(1, 2), None


ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attend)
