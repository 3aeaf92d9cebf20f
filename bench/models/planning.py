"""How much memory a model will take, from its config.json alone: told before weights are loaded."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.models.config import Transformers

_LOG = logging.getLogger(__name__)
_GIB = 2**30
_SURELY = 0.8  # of the estimate: it is rough, and refusing what would fit is worse than an error later


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of each part; at its peak a process holds `resident` and the larger of what learning and sampling add."""

    weights: float  # in the model's precision, with a vocabulary head in float32
    optimiser: float  # float32 copies where weights are rounded, gradients, AdamW's two moments
    reference: float  # of the KL terms; none beside adapters
    activations: float  # of one micro-batch
    logits: float  # of one chunk of positions
    cache: float  # keys and values of the replies that are sampled at once

    @property
    def resident(self) -> float:
        return self.weights + self.optimiser + self.reference

    @property
    def peak(self) -> float:
        return self.resident + max(self.activations + self.logits, self.cache)


def memory_plan(config: Mapping[str, Any], model: "Transformers", *, trains: bool, on_gpu: bool) -> MemoryPlan:
    """Of a decoder as Llama, Qwen and Gemma have it; `config` as its config.json has it.

    Activations, without checkpointing: per token and layer 4 values for each of the MLP's units and 12 for each of the
    hidden ones (norms, projections, rotations, residuals), as measured on Qwen2.
    """
    text = config.get("text_config") or config
    hidden, layers, units, vocabulary = (
        int(text[key]) for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size")
    )
    heads = int(text["num_attention_heads"])
    pairs = int(text.get("num_key_value_heads") or heads)
    head_dim = int(text.get("head_dim") or hidden // heads)
    size = 4 if model.dtype.value == "float32" else 2
    tied = bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False)))
    shapes = [(hidden, heads * head_dim), (heads * head_dim, hidden), *[(hidden, pairs * head_dim)] * 2]
    shapes += [(hidden, units)] * 2 + [(units, hidden)]
    body = layers * sum(into * out for into, out in shapes)
    head = vocabulary * hidden
    embeddings = 0 if tied and size == 4 else head
    weights = (body + embeddings) * size + head * 4.0
    if not trains:
        learned, copies, reference = 0, 0.0, 0.0
    elif model.lora_rank:
        learned, copies, reference = layers * model.lora_rank * sum(map(sum, shapes)), 4.0, 0.0
    else:
        learned = body + head + (0 if tied else head)
        copies, reference = (4.0 if size == 2 else 0.0), weights
    per_layer = (4 * units + 12 * hidden) * size * model.train_batch_tokens
    kept = layers * hidden * size * model.train_batch_tokens + per_layer
    activations = (kept if model.gradient_checkpointing else layers * per_layer) if trains else 0.0
    chunk = min(2**27 if on_gpu else 2**24, model.train_batch_tokens * vocabulary)
    return MemoryPlan(
        weights=weights,
        optimiser=learned * (12 + copies),
        reference=reference,
        activations=activations,
        logits=3 * 4.0 * chunk if trains else 0.0,
        cache=2.0 * layers * pairs * head_dim * size * model.sample_batch_tokens,
    )


def check_memory(model: "Transformers", config: Mapping[str, Any], *, trains: bool, device: str, memory: float) -> None:
    """Say what `model` will take of `memory` bytes; raise ValueError, with what to lower, if it cannot fit.

    A configuration that lacks the usual keys is let through.
    """
    try:
        plan = memory_plan(config, model, trains=trains, on_gpu=device.startswith("cuda"))
    except (KeyError, TypeError):
        return
    told = f"{model.name}, {'trained' if trains else 'evaluated'}: about {plan.peak / _GIB:.1f} GiB at its peak"
    told += f", and this {'GPU' if device.startswith('cuda') else 'machine'} has {memory / _GIB:.1f}"
    if plan.peak * _SURELY <= memory:
        if plan.peak > memory / 2:
            _LOG.warning("%s", told)
        return
    raise ValueError(f"{told}: {_what_to_lower(plan, model, trains=trains, memory=memory)}")


def _what_to_lower(plan: MemoryPlan, model: "Transformers", *, trains: bool, memory: float) -> str:
    hints = []
    left = memory - plan.resident
    if left <= 0:
        if trains and not model.lora_rank:
            hints.append("model.lora_rank=16 (adapters, no optimiser state of all weights, no second model)")
        if model.dtype.value == "float32":
            hints.append("model.dtype=bfloat16")
    else:
        if plan.cache > left:
            hints.append(f"model.sample_batch_tokens={_fitting(model.sample_batch_tokens, left / plan.cache)}")
        if plan.activations + plan.logits > left and not model.gradient_checkpointing:
            hints.append("model.gradient_checkpointing=true")
        if plan.activations + plan.logits > left > plan.logits:
            fraction = (left - plan.logits) / plan.activations
            hints.append(f"model.train_batch_tokens={_fitting(model.train_batch_tokens, fraction)}")
    return f"set {' or '.join(hints)}" if hints else "use a smaller model, or a larger device"


def _fitting(tokens: int, fraction: float) -> int:
    """The largest power of two that is less than the fraction of `tokens`."""
    return 1 << max(0, int(tokens * min(1.0, fraction)).bit_length() - 1)


def machine_memory() -> float:
    """Bytes that this machine has."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
