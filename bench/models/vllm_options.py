"""Values of the vLLM engine, checked without loading it; what it needs in the environment before it is loaded."""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bench.machine import visible_gpus

_HEAD_SIZES_ON_CPU = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


class Sleep(Enum):
    """What the engine gives back while the learner learns."""

    never = "never"  # nothing: the fastest, where both fit
    # Its cache, and its weights to the machine's memory. (vLLM's level 2 drops the weights, and with them state that is
    # no weight and comes back by no push.)
    level1 = "level1"


@dataclass(kw_only=True)
class VllmOptions:
    """How the vLLM engine runs. All of it is memory and speed, but for rounding."""

    memory_share: float = 0.45  # of the GPU's memory, for the engine's weights and cache; the learner has the rest
    cpu_cache_gib: int = 1  # where there is no GPU: the engine's cache of keys and values
    max_replies: int = 256  # sampled side by side
    context: int = 0  # tokens that a conversation may have; 0: what the model holds
    tensor_parallel: int = 1  # GPUs that share the engine's weights
    sleep: Sleep = Sleep.never  # what the engine gives back while the learner learns
    eager: bool = False  # on a GPU: no CUDA graphs and no compilation: starts sooner, samples slower
    # On a GPU: the vocabulary head computes in float32, as the learner's does, though its weights have model.dtype.
    # On a CPU that would cost more than a third of the speed, for log-probabilities a sixth closer to the learner's.
    float32_head: bool = True
    untie_head: bool = True  # a head of its own where the model ties it to the embeddings: see vllm_weights.py
    # The same replies whatever is sampled beside them: batch-invariant kernels on a GPU, one reply at a time on a CPU.
    deterministic: bool = False
    checked_within: int = 8  # pushes of weights, within which every tensor is read back and compared

    def __post_init__(self) -> None:
        if not 0 < self.memory_share < 1:
            raise ValueError(f"model.vllm.memory_share must lie between 0 and 1, not {self.memory_share}")
        for count in ("cpu_cache_gib", "max_replies", "tensor_parallel", "checked_within"):
            if getattr(self, count) < 1:
                raise ValueError(f"model.vllm.{count} must be at least 1, not {getattr(self, count)}")
        if self.context < 0:
            raise ValueError(f"model.vllm.context must be positive, or 0 for the model's own, not {self.context}")

    def check(self, *, device: str, config: Mapping[str, Any] | None) -> None:
        """Raise ValueError, with a hint, where the engine cannot run. `config` is the model's, where it is at hand."""
        if importlib.util.find_spec("vllm") is None:
            raise ValueError(
                "model.sampler=vllm needs vLLM, which is not installed: pip install -c constraints.txt -e '.[vllm]' "
                "(on a machine with a GPU), or set model.sampler=transformers"
            )
        if device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"model.device={device}: the vLLM sampler computes on cuda or cpu; set one of them")
        if self.tensor_parallel > 1:
            raise ValueError(
                f"model.vllm.tensor_parallel={self.tensor_parallel}: each experiment sees one GPU; set it to 1"
            )
        if config is not None and not _on_gpu(device):
            size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
            if size not in _HEAD_SIZES_ON_CPU:
                raise ValueError(
                    f"the model's attention heads have {size} dimensions, and vLLM's engine for CPUs takes "
                    f"{', '.join(map(str, _HEAD_SIZES_ON_CPU))}: set model.sampler=transformers"
                )

    def prepare_environment(self, *, device: str) -> None:
        """To be called before torch and vLLM are loaded, which read these once; what the user has set stays."""
        for name, value in {
            # The engine in this process: it is handed tensors, not copies, and its schedule is the same every time.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_BATCH_INVARIANT": str(int(self.deterministic and _on_gpu(device))),  # there are no kernels for CPUs
            "VLLM_CPU_KVCACHE_SPACE": str(self.cpu_cache_gib),
            # Threads that spin while they wait take the cores of whoever runs beside; nor are they tied to cores that
            # another experiment may have as well.
            "OMP_WAIT_POLICY": "PASSIVE",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
        }.items():
            os.environ.setdefault(name, value)


def _on_gpu(device: str) -> bool:
    return device != "cpu" and bool(visible_gpus())
