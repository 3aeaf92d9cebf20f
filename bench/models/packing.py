"""Episodes end to end in one row, without padding, through a transformers model that keeps them apart.

transformers can tell packed episodes apart by their positions, but mixes them without a word where a mask or a cache is
passed, and its mask is a square of all tokens. Here the attention function itself gets the episodes' lengths: every
other layer works token by token, and attention works on episodes of like length, padded at the right, where a causal
mask hides the padding from every token.

Axes: B episodes, T positions, P tokens of all episodes, h heads, d size of a head.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_NAME = "episodes"
_LIKE = 0.75  # of the longest of those that are padded to one length: at most a quarter of what they hold is padding


class Packing:
    """Where each of some episodes lies in the row. They lie longest first, so that neighbours are of like length."""

    def __init__(self, lengths: Sequence[int], *, attention: str) -> None:
        self.attention = attention
        self.order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        self.lengths = [lengths[row] for row in self.order]
        self.starts = [0] * len(lengths)  # by episode, in the order in which they were given
        place = 0
        for row in self.order:
            self.starts[row] = place
            place += lengths[row]

    @cached_property
    def groups(self) -> list[list[int]]:
        """The lengths, cut where they become unlike."""
        groups: list[list[int]] = []
        for length in self.lengths:
            if groups and length >= _LIKE * groups[-1][0]:
                groups[-1].append(length)
            else:
                groups.append([length])
        return groups

    def positions(self) -> list[int]:
        return [position for length in self.lengths for position in range(length)]


def can_pack(model: PreTrainedModel) -> bool:
    """Whether `packed` works for its attention: transformers' sdpa, or the model's own eager one."""
    attention = model.config._attn_implementation
    return attention in ("sdpa", "eager") and type(model)._can_set_attn_implementation()


@contextmanager
def packed(*models: PreTrainedModel | None) -> Iterator[str]:
    """In it the models take packed episodes alone; yields how they attend within one.

    The way back belongs into it as well, since checkpointed layers are run again.
    """
    there = [model for model in models if model is not None]
    before = [str(model.config._attn_implementation) for model in there]
    try:
        for model in there:
            model.set_attn_implementation(_NAME)
        yield before[0]
    finally:
        for model, attention in zip(there, before, strict=True):
            model.set_attn_implementation(attention)


def hidden_states(model: PreTrainedModel, ids_1P: torch.Tensor, packing: Packing) -> torch.Tensor:
    """[P, H], of the last layer."""
    positions_1P = torch.tensor([packing.positions()], device=ids_1P.device)
    return model.base_model(
        input_ids=ids_1P, position_ids=positions_1P, use_cache=False, packing=packing
    ).last_hidden_state[0]


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,  # 1hPd, as are the two below, of fewer heads perhaps
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packing: Packing,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    assert attention_mask is None, "transformers makes no mask for an attention of this name"
    inner = (
        ALL_ATTENTION_FUNCTIONS.get(packing.attention) or sys.modules[type(module).__module__].eager_attention_forward
    )
    outputs, start = [], 0
    for lengths in packing.groups:
        stop = start + sum(lengths)
        parts = [_padded(each[0, :, start:stop], lengths) for each in (query, key, value)]
        mask = _mask(lengths[0], packing.attention, window=sliding_window, like=query)
        output_BThd = inner(module, *parts, mask, **more)[0]
        outputs += [row[:length] for row, length in zip(output_BThd, lengths, strict=True)]
        start = stop
    return torch.cat(outputs)[None], None


def _padded(tokens_hPd: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """BhTd"""
    rows = tokens_hPd.transpose(0, 1).split(list(lengths))
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).transpose(1, 2)


def _mask(width: int, attention: str, *, window: int | None, like: torch.Tensor) -> torch.Tensor | None:
    """None where sdpa's own causal mask says it all."""
    window = width if window is None else window
    if width <= window and attention == "sdpa":
        return None
    back_TT = torch.arange(width, device=like.device)[:, None] - torch.arange(width, device=like.device)
    seen_TT = (back_TT >= 0) & (back_TT < window)
    if attention == "sdpa":
        return seen_TT[None, None]
    lowest = torch.finfo(like.dtype).min
    return torch.zeros_like(seen_TT, dtype=like.dtype).masked_fill(~seen_TT, lowest)[None, None]


AttentionInterface.register(_NAME, _attend)
