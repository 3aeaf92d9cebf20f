"""The learner's weights in a vLLM engine: push them, probe what arrived, reset the cache that the old ones filled.

Everything that reaches into the engine is here, since vLLM changes it from release to release.

A push replaces all tensors, in layer order. Two checks follow it, and a difference stops the run:
- the log-probabilities of fixed token ids, engine against learner: they show a model that computes something else;
- the tensors themselves, read back and compared bit for bit, a part of them after each push, so that all are covered
  within a stated number of pushes: they show what the first cannot, an update at a rate of 5e-6 that did not arrive.
  After the first push all are compared.

vLLM's engine for CPUs packs the weights of matrix products and keeps no other copy, so they are read by multiplying
with the identity, which is exact. Where the head is tied to the embeddings it packs the head as well, and packs it anew
only when the head comes by its own name: so it does, and by default the engine has a head of its own (`untie_head`).
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from bench.models.engine import StaleWeightsError
from bench.models.logprobs import head
from bench.models.lora import has_adapters, merged

_PROBE_TOKENS = 64
# Mean |difference| of the probe's log-probabilities, in nats. Another order of summation in float32 gives 1e-6 to 1e-4;
# in bfloat16 0.01 to 0.1, by the size of the logits; weights of another model give 1 and more.
_MOST_APART = {torch.float32: 1e-2}
_MOST_APART_NARROW = 0.3
_ROWS = 512  # of the identity at once


@dataclass(slots=True)
class EngineWeights:
    """What a vLLM engine holds of a learner's weights."""

    llm: Any  # vllm.LLM
    checked_within: int  # pushes
    num_pushes: int = 0
    probed: float = 0.0  # mean |difference| of the latest probe, nats
    _names: list[str] = field(default_factory=list)

    def push(self, model: PreTrainedModel) -> None:
        """Make the engine's weights those of `model`, and check that they are. Raises StaleWeightsError if not."""
        named = pushed_tensors(model)
        self._load(named)
        self.reset_cache()
        self.num_pushes += 1
        self.probe(model)
        self._read_back(named)

    def probe(self, model: PreTrainedModel) -> None:
        """Compare the log-probabilities of fixed ids. Raises StaleWeightsError."""
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        ids = probe_ids(model.config.get_text_config().vocab_size)
        params = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        (output,) = self.llm.generate([{"prompt_token_ids": ids}], params, use_tqdm=False)
        theirs = [at[token].logprob for at, token in zip(output.prompt_logprobs[1:], ids[1:], strict=True)]
        self.probed = float((torch.tensor(theirs) - learner_logprobs(model, ids)).abs().mean())
        if not self.probed <= _MOST_APART.get(model.dtype, _MOST_APART_NARROW):  # NaN is apart as well
            raise StaleWeightsError(
                f"after push {self.num_pushes} of the weights, the vLLM engine's log-probabilities of {len(ids)} fixed "
                f"tokens differ from the learner's by {self.probed:.3g} nats on average; {_CAUSES}"
            )

    def reset_cache(self) -> None:
        """Forget the keys and values of all prefixes: the old weights computed them."""
        if not self.llm.reset_prefix_cache():
            raise StaleWeightsError(
                "the vLLM engine did not reset its prefix cache, which holds the old weights' values"
            )

    def _load(self, named: Mapping[str, torch.Tensor]) -> None:
        self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(named.items())})

    def _read_back(self, named: Mapping[str, torch.Tensor]) -> None:
        if self.num_pushes == 1:
            (self._names,) = self.llm.apply_model(lambda engine: _covering(engine, named))
            chosen = self._names
        else:
            chosen = self._names[self.num_pushes % self.checked_within :: self.checked_within]
        (wrong,) = self.llm.apply_model(lambda engine: {name: _num_different(engine, name, named) for name in chosen})
        wrong = {name: count for name, count in wrong.items() if count}
        if wrong:
            name = max(wrong, key=lambda name: wrong[name])
            raise StaleWeightsError(
                f"after push {self.num_pushes} of the weights, {len(wrong)} of the {len(chosen)} tensors that were "
                f"read back from the vLLM engine are not the learner's, first {name} ({wrong[name]} elements); "
                + _CAUSES
            )


_CAUSES = (
    "likely causes: a head that is tied to the embeddings, which vLLM's engine for CPUs does not update "
    "(model.vllm.untie_head=true gives it one of its own); a vLLM release that reloads weights in another way (use the "
    "one in constraints.txt); a model whose layers vLLM computes differently (set model.sampler=transformers)"
)


def pushed_tensors(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights that the learner scores with, by name in layer order, and the head's also where it is tied.

    Adapters are merged into them, which below float32 rounds the sum once more than the learner does.
    """
    if has_adapters(model):
        return dict(merged(model))
    named = {name: parameter.detach() for name, parameter in model.named_parameters()}
    output = model.get_output_embeddings()
    assert output is not None, "a causal LM has a vocabulary head"
    named.setdefault("lm_head.weight", output.weight.detach())
    return named


def probe_ids(vocab_size: int) -> list[int]:
    """Always the same for a vocabulary."""
    draw = random.Random(vocab_size)
    return [draw.randrange(vocab_size) for _ in range(_PROBE_TOKENS)]


@torch.no_grad()
def learner_logprobs(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    """Of each of `ids` but the first, given those before it."""
    ids_T = torch.tensor(ids, device=model.device)
    hidden_TH = model.base_model(input_ids=ids_T[None], use_cache=False).last_hidden_state[0]
    logprobs_TV = head(model, hidden_TH[:-1]).log_softmax(dim=-1)
    return logprobs_TV.gather(1, ids_T[1:, None])[:, 0].float().cpu()


def _covering(engine: torch.nn.Module, named: Mapping[str, torch.Tensor]) -> list[str]:
    """The engine's tensors by name, the largest first. Raises ValueError if they do not hold all the learner's."""
    found = {
        f"{path}.{kind}": _sources(engine, f"{path}.{kind}", named)
        for path, module in engine.named_modules(remove_duplicate=False)
        for kind in ("weight", "bias")
        if isinstance(getattr(module, kind, None), torch.Tensor)
    }
    missing = named.keys() - {source for sources in found.values() for source in sources}
    if missing:
        raise ValueError(
            f"vLLM holds {len(missing)} of the model's {len(named)} tensors under other names, first {min(missing)}, "
            "so that they cannot be checked: set model.sampler=transformers"
        )
    return sorted((name for name in found if found[name]), key=lambda name: -sum(named[s].numel() for s in found[name]))


def _sources(engine: torch.nn.Module, name: str, named: Mapping[str, torch.Tensor]) -> list[str]:
    """The learner's tensors that the engine's `name` is made of: q, k and v are one there, gate and up as well."""
    if name in named:
        return [name]
    path, _, kind = name.rpartition(".")
    parent, _, last = path.rpartition(".")
    parts = getattr(engine, "packed_modules_mapping", {}).get(last, ())
    sources = [f"{parent}.{part}.{kind}" for part in parts]
    return sources if sources and all(source in named for source in sources) else []


@torch.no_grad()
def _num_different(engine: torch.nn.Module, name: str, named: Mapping[str, torch.Tensor]) -> int:
    """Elements of the engine's tensor that are not the learner's, rounded to the engine's precision."""
    path, _, kind = name.rpartition(".")
    module = engine.get_submodule(path)
    expected = torch.cat([named[source] for source in _sources(engine, name, named)])
    stored = getattr(module, kind)
    if kind == "weight" and hasattr(module, "cpu_linear") and not name.endswith("embed_tokens.weight"):
        stored = _through_product(module, size=expected.shape[1])
    # A vocabulary is padded at its end.
    return int((stored[: len(expected)] != expected.to(device=stored.device, dtype=stored.dtype)).sum())


def _through_product(module: Any, *, size: int) -> torch.Tensor:
    """A packed weight of `size` columns: its product with the identity, which rounds nothing."""
    identity = torch.eye(size, dtype=module.weight.dtype)
    return torch.cat([module.cpu_linear(rows, module.weight, None) for rows in identity.split(_ROWS)]).T
