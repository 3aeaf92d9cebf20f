"""Checkpoints that cannot be what a run needs, refused before anything heavy is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from bench.models.config import Transformers
from bench.models.supported import check_not_quantised, check_supported
from tests.tiny_model import save_tiny_model


def changed(folder: Path, **config: object) -> Transformers:
    file = save_tiny_model(folder) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return Transformers(path=str(folder))


@pytest.mark.parametrize("method", ["gguf", "bitsandbytes", "gptq", "awq"])
def test_quantised_weights_are_refused_while_planning(tmp_path: Path, method: str):
    with pytest.raises(ValueError, match=rf"quantised \({method}\).*delete quantization_config"):
        changed(tmp_path, quantization_config={"quant_method": method}).check()


def test_a_folder_of_a_gguf_file_is_refused_while_planning(tmp_path: Path):
    (tmp_path / "model-q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=r"GGUF file.*\*\.safetensors"):
        Transformers(path=str(tmp_path)).check()


def test_a_gguf_file_beside_plain_weights_and_weights_of_another_kind_are_not_taken_for_quantised(tmp_path: Path):
    plain, other = save_tiny_model(tmp_path / "plain"), save_tiny_model(tmp_path / "other")
    (plain / "model-q4.gguf").write_bytes(b"GGUF")
    (other / "model.safetensors").rename(other / "pytorch_model.bin")
    for folder in (plain, other):
        check_not_quantised(folder, path=str(folder))


def test_a_soft_cap_that_the_attention_leaves_out_is_refused_and_eager_is_not(tmp_path: Path):
    model = changed(tmp_path, attn_logit_softcapping=50.0)
    with pytest.raises(ValueError, match=r"model\.attention=eager"):
        model.check()
    Transformers(path=model.path, attention="eager").check()


@pytest.mark.parametrize(
    ("config", "told"),
    [({"quantization_config": {"quant_method": "awq"}}, "quantised"), ({"attn_logit_softcapping": 5.0}, "eager")],
)
def test_what_a_model_of_several_parts_says_of_its_text_is_read_as_well(config: dict[str, object], told: str):
    check_supported({"text_config": {}}, path="x", attention="sdpa")
    for whole in (config, {"text_config": config}):
        with pytest.raises(ValueError, match=told):
            check_supported(whole, path="x", attention="sdpa")


def test_what_shows_only_when_it_is_loaded_is_refused_then(tmp_path: Path):
    with pytest.raises(ValueError, match=r"quantised"):
        changed(tmp_path, quantization_config={"quant_method": "gptq"}).build(str)


def test_sdpa_does_leave_the_soft_cap_out():
    """Should this fail, transformers has learned it, and the refusal can go."""
    shape: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 32}
    heads: dict[str, Any] = {
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "query_pre_attn_scalar": 1,
    }
    torch.manual_seed(0)
    config = Gemma2Config(**shape, **heads, attn_logit_softcapping=1.0, initializer_range=1.0)
    model = Gemma2ForCausalLM(config).eval()
    ids = torch.arange(3, 19)[None]
    with torch.no_grad():
        logits = {}
        for attention in ("eager", "sdpa"):
            model.set_attn_implementation(attention)
            logits[attention] = model(ids).logits
    assert (logits["eager"] - logits["sdpa"]).abs().max() > 1e-3
