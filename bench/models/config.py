"""Models as configuration: what a user names on the command line, checked cheaply and built late; transformers' own.

A model is `check`ed in the process that plans a sweep and `build`t in the process that runs the experiment.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

from bench.machine import visible_gpus
from bench.models.capacity import Outline, stop_ids
from bench.models.contents import hub_contents, model_contents
from bench.models.engine import TransformersEngine
from bench.models.interface import ConversationCheck, Sampler
from bench.models.renderer import TemplateKind
from bench.models.supported import check_not_quantised, check_supported, check_weights_whole, read_config
from bench.models.vllm_options import VllmOptions

_LOG = logging.getLogger(__name__)
_DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
_ROOT = Path(__file__).resolve().parent.parent.parent


class Precision(Enum):
    float32 = "float32"
    bfloat16 = "bfloat16"


class SamplerKind(Enum):
    """What samples replies."""

    transformers = "transformers"  # the model that learns, by transformers: wherever torch runs
    vllm = "vllm"  # an engine in the same process, given the learner's weights when they change: several times faster


class Model(Protocol):
    """What the experiment needs to know of a model. `name` names the result folder's level."""

    trainable: ClassVar[bool]
    name: str
    max_tokens: int

    @property
    def uses_gpu(self) -> bool:
        """Whether it would compute on a GPU where there is one."""
        ...

    def check(self) -> None:
        """Raise ValueError, with a hint, for what can be seen to be wrong without loading anything."""
        ...

    def build(self, canonical_id: Callable[[str | int], str]) -> Sampler:
        """The heavy object. `canonical_id` maps recorded problem ids to the task's."""
        ...

    def outline(self, canonical_id: Callable[[str | int], str]) -> ConversationCheck | None:
        """What can say cheaply which conversations are possible; None where nothing is known before loading."""
        ...

    def contents(self) -> dict[str, Any]:
        """Digests of what stands at its path, and a hub's commit; asked for after `build`."""
        ...


@dataclass(kw_only=True)
class Transformers:
    """A causal LM that transformers can load: a local folder, or a hub id."""

    trainable: ClassVar[bool] = True

    path: str  # a local folder or a hub id
    revision: str | None = None  # of a hub's model: a commit, tag or branch; None: its main branch as it is now
    name: str = ""  # of the results' folder; empty: the path's last part
    made_for: str = ""  # the one task whose text its tokenizer knows; empty: it reads any text
    template: TemplateKind = TemplateKind.auto  # what turns messages into text
    max_tokens: int = 1024  # per reply
    # of forward passes, samples and the reference; weights that are trained are float32 besides (see precision.py)
    dtype: Precision = Precision.float32
    # Float32 products on a GPU with 10 bits of mantissa: several times faster, and still finer than bfloat16's 7. It
    # also speeds up the vocabulary head under bfloat16. False: exact float32.
    tf32: bool = True
    device: str = "auto"  # auto: the GPU where there is one
    sampler: SamplerKind = SamplerKind.transformers  # what samples: transformers, or vllm (faster)
    vllm: VllmOptions = field(default_factory=VllmOptions)  # of that sampler
    attention: str = "sdpa"  # what transformers calls attn_implementation
    threads: int = 0  # CPU threads; 0 leaves torch's choice. Tiny models run fastest on 1
    sample_batch_tokens: int = 65_536  # rows x positions sampled at once
    train_batch_tokens: int = 16_384  # tokens per forward and backward; changes memory, not results
    # Whether an update's conversations lie end to end, without padding; the same results but for rounding. Where the
    # attention is neither sdpa nor eager they are padded all the same.
    packing: bool = True
    # Train low-rank adapters beside the linear layers rather than all weights (lora.py): 8 to 64 is usual, with a
    # learning rate some ten times as high. None: all weights.
    lora_rank: int | None = None
    lora_alpha: float | None = None  # the adapters' products are scaled by alpha / rank; None: twice the rank
    gradient_checkpointing: bool = False  # a layer's insides are made again on the way back: slower, by a third

    def __post_init__(self) -> None:
        self.name = self.name or Path(self.path).name
        for count in ("max_tokens", "sample_batch_tokens", "train_batch_tokens"):
            if getattr(self, count) < 1:
                raise ValueError(f"model.{count} must be at least 1, not {getattr(self, count)}")
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError(f"model.lora_rank={self.lora_rank}: set 8, say, or null to train all weights")

    @property
    def uses_gpu(self) -> bool:
        return self.device != "cpu"

    def check(self) -> None:
        if self.device.partition(":")[0] not in _DEVICES:
            raise ValueError(f"model.device={self.device} is none of {', '.join(_DEVICES)}")
        if ":" in self.device:
            kind, _, index = self.device.partition(":")
            raise ValueError(
                f"model.device={self.device}: each experiment sees one GPU; say model.device={kind}, and "
                f"CUDA_VISIBLE_DEVICES={index} before the command"
            )
        if self.lora_rank is not None and find_spec("peft") is None:
            raise ValueError("model.lora_rank needs peft: pip install -c constraints.txt -e '.[lora]'")
        folder = self._folder()
        if folder is not None and self.revision is not None:
            raise ValueError(
                f"model.revision={self.revision} is of a hub's model, and {self.path} is a folder: drop it"
            )
        if folder is None:
            if self.path.startswith((".", "/", "~")) or self.path.count("/") > 1:
                raise ValueError(f"model.path={self.path}: no such folder")
            if self.sampler is SamplerKind.vllm:
                self.vllm.check(device=self.device, config=None)
            return  # a hub id: whether it exists shows when it is loaded
        check_not_quantised(folder, path=self.path)
        if not (folder / "config.json").is_file():
            raise ValueError(f"model.path={self.path} holds no config.json: it is not a saved transformers model")
        if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
            raise ValueError(f"model.path={self.path} holds no weights (*.safetensors): save the model there first")
        check_supported(read_config(folder, path=self.path), path=self.path, attention=self.attention)
        check_weights_whole(folder, path=self.path)
        if self.sampler is SamplerKind.vllm:
            self.vllm.check(device=self.device, config=read_config(folder, path=self.path))
        if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
            raise ValueError(
                f"model.path={self.path} holds no tokenizer: save the model's tokenizer beside its weights"
            )

    def build(self, canonical_id: Callable[[str | int], str]) -> Sampler:  # noqa: ARG002  only recordings have foreign ids
        if self.sampler is SamplerKind.vllm:
            self.vllm.prepare_environment(device=self.device)
        import torch
        from transformers import AutoConfig, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        from bench.models.loading import LoadReference
        from bench.models.logprobs import check_head
        from bench.models.policy import TransformersPolicy, pad_id
        from bench.models.precision import allow_tf32
        from bench.models.renderer import make_renderer
        from bench.models.sampler import check_sampling

        disable_progress_bar()
        allow_tf32(allowed=self.tf32)
        if self.threads:
            torch.set_num_threads(self.threads)
        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda") and not torch.cuda.is_available():  # a driver, or a mask, may show one in vain
            raise ValueError(_absent_gpu(device))
        source = str(self._folder() or self.path)
        load_base = LoadReference(
            source,
            revision=self.revision,
            dtype=self.dtype.value,
            device=device,
            attention=self.attention,
            lora_rank=self.lora_rank,
            lora_alpha=self.lora_alpha,
        )
        try:
            config = AutoConfig.from_pretrained(source, revision=self.revision)
            check_supported(config.to_dict(), path=self.path, attention=self.attention)  # a hub's shows only now
            tokenizer = AutoTokenizer.from_pretrained(source, revision=self.revision)
            model = load_base()
        except OSError as error:
            raise ValueError(f"model.path={self.path} could not be loaded: {error}") from error
        check_head(model)
        ends = stop_ids(getattr(model.generation_config, "eos_token_id", None), tokenizer)
        renderer = make_renderer(tokenizer, self.template, stop_ids=ends)

        def decode(ids: Sequence[int]) -> str:
            return str(tokenizer.decode(list(ids), skip_special_tokens=True))

        if self.sampler is SamplerKind.vllm:
            from bench.models.vllm_engine import VllmEngine

            engine = VllmEngine(
                source,
                self.vllm,
                revision=self.revision,
                dtype=self.dtype.value,
                device=device,
                stop_ids=renderer.stop_ids,
                decode=decode,
            )
        else:
            check_sampling(model)
            if device == "cuda":
                _LOG.info("replies are sampled by transformers; model.sampler=vllm is several times faster on a GPU")
            engine = TransformersEngine(
                stop_ids=renderer.stop_ids,
                pad_id=pad_id(tokenizer, renderer.stop_ids),
                batch_tokens=self.sample_batch_tokens,
                decode=decode,
            )
        return TransformersPolicy(
            model,
            tokenizer,
            renderer,
            load_base,
            engine,
            train_batch_tokens=self.train_batch_tokens,
            packing=self.packing,
            gradient_checkpointing=self.gradient_checkpointing,
        )

    def check_memory(self, *, trains: bool) -> None:
        """Raise ValueError, before weights are loaded, if this machine or its GPU cannot hold what the model takes."""
        import torch
        from transformers import AutoConfig

        from bench.models import planning

        try:
            config = AutoConfig.from_pretrained(str(self._folder() or self.path), revision=self.revision).to_dict()
        except (OSError, ValueError):
            return  # `build` says what is wrong
        on_gpu = self.device.startswith("cuda") or (self.device == "auto" and torch.cuda.is_available())
        if self.device not in ("auto", "cpu", "cuda") or (on_gpu and not torch.cuda.is_available()):
            return
        memory = torch.cuda.get_device_properties(0).total_memory if on_gpu else planning.machine_memory()
        device = "cuda" if on_gpu else "cpu"
        planning.check_memory(self, config, trains=trains, device=device, memory=float(memory))

    def outline(self, canonical_id: Callable[[str | int], str]) -> ConversationCheck | None:  # noqa: ARG002  as for build
        folder = self._folder()
        if folder is None:
            return None
        return Outline(folder, self.path, self.template, read_config(folder, path=self.path))

    def contents(self) -> dict[str, Any]:
        folder = self._folder()
        return hub_contents(self.path, self.revision) if folder is None else model_contents(folder)

    @property
    def hub_id(self) -> str:
        """The hub's name of it; "" for a folder."""
        return "" if self._folder() else self.path

    def _folder(self) -> Path | None:
        """The folder that `path` names, from the working directory or else from the repository; None for a hub id."""
        for candidate in (Path(self.path).expanduser(), _ROOT / self.path):
            if candidate.is_dir():
                return candidate.resolve()
        return None


def check_gpu(model: object) -> None:
    """Raise ValueError, while planning and without torch, if a model asks for CUDA and this machine shows no GPU."""
    device = str(getattr(model, "device", ""))
    if device.startswith("cuda") and not visible_gpus():
        raise ValueError(_absent_gpu(device))


def _absent_gpu(device: str) -> str:
    return f"model.device={device}: no GPU is found on this machine; set model.device=auto or cpu"
