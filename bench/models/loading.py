"""A base model's weights, from a folder or a hub."""

import torch
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from bench.models.lora import with_adapters
from bench.models.precision import with_float32_head


class LoadReference:
    """Loads the base model's weights, each time anew; with adapters beside them, if it trains those."""

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        dtype: str,
        device: str,
        attention: str,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
    ) -> None:
        self.path = path
        self._revision = revision
        self._dtype, self._device, self._attention = dtype, device, attention
        self._lora_rank, self._lora_alpha = lora_rank, lora_alpha

    def __call__(self) -> PreTrainedModel:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(
            self.path,
            revision=self._revision,
            dtype=getattr(torch, self._dtype),
            attn_implementation=self._attention,
        )
        model = with_float32_head(model)
        if self._lora_rank is not None:
            model = with_adapters(model, rank=self._lora_rank, alpha=self._lora_alpha)
        return model.to(device=torch.device(self._device)).eval()  # pyright: ignore[reportCallIssue]  a torch decorator hides the type


def keep_layer_inputs_only(model: PreTrainedModel) -> None:
    """Make the insides of each layer again on the way back. transformers does so in training mode alone: only the
    layers themselves are put into it, and dropout stays off. `model.eval()` ends it.
    """
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True
