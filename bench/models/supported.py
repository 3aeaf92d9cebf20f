"""What a checkpoint's configuration says that this harness cannot do; read before any weights are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open


def check_not_quantised(folder: Path, *, path: str) -> None:
    """Raise ValueError for a folder of GGUF files: they are read as quantised, and can be neither trained nor saved."""
    if any(folder.glob("*.gguf")) and not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"model.path={path} holds a GGUF file, which is quantised and can be neither trained nor saved: give the "
            "model it was made from (*.safetensors)"
        )


def check_weights_whole(folder: Path, *, path: str) -> None:
    """Raise ValueError for a shard that is missing, or a file of weights that is not as long as its header says."""
    hint = "copy or download the model again"
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"model.path={path}: its {index.name} cannot be read; {hint}") from None
        if missing := sorted(shard for shard in shards if not (folder / shard).is_file()):
            raise ValueError(f"model.path={path} lacks {missing[0]}, which its {index.name} names; {hint}")
    for weights in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(weights, framework="np"):  # which compares the header with the file's length
                pass
        except SafetensorError as error:
            raise ValueError(f"model.path={path}: {weights.name} is damaged ({error}); {hint}") from None


def read_config(folder: Path, *, path: str) -> Mapping[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"model.path={path}: its config.json cannot be read ({error}); save the model again") from None
    return config if isinstance(config, dict) else {}


def check_supported(config: Mapping[str, Any], *, path: str, attention: str) -> None:
    """Raise ValueError for quantised weights, and for an attention implementation that makes it another model."""
    text = config.get("text_config")
    parts = (config, text) if isinstance(text, Mapping) else (config,)
    for part in parts:
        if quantised := part.get("quantization_config"):
            how = quantised.get("quant_method") if isinstance(quantised, Mapping) else None
            raise ValueError(
                f"model.path={path}: its config.json says that the weights are quantised ({how or 'no method named'}), "
                "and those can be neither trained nor saved here: give the model it was made from; if the weights are "
                "plain (a copy out of a GGUF keeps the note), delete quantization_config from config.json"
            )
        # transformers' sdpa kernel leaves attn_logit_softcapping out without a word; eager, flash and flex have it.
        if part.get("attn_logit_softcapping") and "sdpa" in attention:
            raise ValueError(
                f"model.path={path} caps its attention's logits (attn_logit_softcapping), which "
                f"model.attention={attention} leaves out, so that it would be another model: set model.attention=eager"
            )
