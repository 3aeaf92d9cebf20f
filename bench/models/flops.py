"""What an update needs of a machine: operations, as the field counts them, and memory."""

import resource
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

# Dense products per second as NVIDIA's data sheets have them, in bfloat16 and in float32 (TensorFloat-32 where there
# is one). The first name that a device's begins with counts.
_PEAK = {
    "NVIDIA H200": (989e12, 494e12),
    "NVIDIA H100 PCIe": (756e12, 378e12),
    "NVIDIA H100 NVL": (835e12, 417e12),
    "NVIDIA H100": (989e12, 494e12),
    "NVIDIA A100": (312e12, 156e12),
    "NVIDIA L40S": (362e12, 183e12),
    "NVIDIA A10": (125e12, 62e12),
    "NVIDIA GeForce RTX 4090": (165e12, 83e12),
    "NVIDIA GeForce RTX 3090": (71e12, 36e12),
}


def update_flops(model: PreTrainedModel, lengths: Sequence[int], num_scored: int, *, num_forwards: int) -> float:
    """Operations over episodes of these lengths, forward `num_forwards` times (the reference's among them), back once.

    A multiply and an add count as two. A token costs 2 P in each forward, P the weights of all layers, and 4 P in the
    backward (2 P where the layers are frozen and only their adapters learn); attention 2 L D t² per forward of an
    episode of t tokens (L layers, D heads x size of a head, half of t² under the causal mask) and twice that backward;
    the vocabulary head of V x H weights the like of P, for the `num_scored` tokens alone. Work that is done again to
    save memory does not count: MFU = operations / seconds / what the device could do, as PaLM's appendix B defines it.
    """
    config = model.config.get_text_config()
    layers = model.base_model.get_submodule("layers")
    num_weights = sum(weight.numel() for weight in layers.parameters())
    frozen = not all(weight.requires_grad for weight in layers.parameters())
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = config.num_hidden_layers * config.num_attention_heads * head_dim
    forward = 2.0 * num_weights * sum(lengths) + 2.0 * width * sum(length**2 for length in lengths)
    forward += 2.0 * config.vocab_size * config.hidden_size * num_scored
    return forward * (num_forwards + (1 if frozen else 2))


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = next((peak for prefix, peak in _PEAK.items() if name.startswith(prefix)), None)
    return found and found[dtype == torch.float32]


def peak_memory_gib(device: torch.device) -> float:
    """Of the GPU since the process began, or of the process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
