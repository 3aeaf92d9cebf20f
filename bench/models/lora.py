"""Low-rank adapters (LoRA, arXiv 2106.09685) by peft: the base's weights stay as they are, and small products learn.

The adapters are float32 whatever the model's precision, and the KL's reference is the model with them switched off: no
second model is held.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel

NAME = "default"  # what peft calls an adapter without a name


def with_adapters(model: PreTrainedModel, *, rank: int, alpha: float | None = None, seed: int = 0) -> PreTrainedModel:
    """In place, beside every linear layer but the head: x W + alpha / rank · x A B, alpha twice the rank by default.

    B is zero at first, so the model still is the base; `seed` draws A.
    """
    from peft import LoraConfig  # here, since it is an extra

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha or 2 * rank,  # pyright: ignore[reportArgumentType]  a factor; peft declares whole numbers
        target_modules="all-linear",
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.add_adapter(config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            parameter.data = parameter.data.float()
    return model


def has_adapters(model: PreTrainedModel) -> bool:
    return bool(getattr(model, "_hf_peft_config_loaded", False))


@contextmanager
def without_adapters(model: PreTrainedModel) -> Iterator[None]:
    """In it the model is the base."""
    model.disable_adapters()
    try:
        yield
    finally:
        model.enable_adapters()


def merged(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights of the model that computes the same without adapters, by the base's names, each in its precision.

    The product is added in float32 and then rounded: below float32 that is another function by that rounding.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if "lora_" in name:
            continue
        owner = name.removesuffix(".base_layer.weight")
        if name.endswith(".base_layer.weight") and owner in layers:
            delta = layers[owner].get_delta_weight(NAME)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]  of every kind of layer
            yield f"{owner}.weight", (weight.detach().float() + delta.float()).to(weight.dtype)
        else:
            yield name.replace(".base_layer.", "."), weight.detach()


def load_adapters(folder: Path) -> dict[str, torch.Tensor]:
    """By the names that the model's parameters have."""
    from safetensors.torch import load_file

    saved = load_file(str(folder / "adapter_model.safetensors"))
    return {
        name.removeprefix("base_model.model.").replace(".weight", f".{NAME}.weight"): each
        for name, each in saved.items()
    }
