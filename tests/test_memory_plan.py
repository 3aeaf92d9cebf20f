"""The estimate of memory: what counts in it, and what is refused before anything is loaded."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import run
from bench.models import planning
from bench.models.config import Precision, Transformers
from bench.models.planning import check_memory, memory_plan
from tests.test_full_gpu import SMALL

GIB = 2**30
QWEN = {  # Qwen2.5-1.5B's config.json
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}
MODEL = Transformers(path="Qwen/Qwen2.5-1.5B-Instruct", dtype=Precision.bfloat16)


def test_the_parts_of_a_known_model_are_what_was_measured_of_it():
    """Activations of 16,384 tokens were 88 GiB in float32 and 47 in bfloat16; the model has 1.54e9 weights."""
    exact = memory_plan(QWEN, replace(MODEL, dtype=Precision.float32), trains=True, on_gpu=True)
    rounded = memory_plan(QWEN, MODEL, trains=True, on_gpu=True)
    assert exact.weights == pytest.approx(4 * 1.54e9, rel=0.01)
    assert exact.optimiser == pytest.approx(12 * 1.54e9, rel=0.01)
    assert rounded.optimiser == pytest.approx(16 * 1.54e9, rel=0.01)
    assert exact.activations == pytest.approx(88 * GIB, rel=0.1)
    assert rounded.activations == pytest.approx(47 * GIB, rel=0.1)


def test_adapters_checkpointing_and_evaluation_each_take_less():
    plan = memory_plan(QWEN, MODEL, trains=True, on_gpu=True)
    adapters = memory_plan(QWEN, replace(MODEL, lora_rank=16), trains=True, on_gpu=True)
    assert adapters.reference == 0
    assert adapters.optimiser < plan.optimiser / 20
    again = memory_plan(QWEN, replace(MODEL, gradient_checkpointing=True), trains=True, on_gpu=True)
    assert again.activations < plan.activations / 10
    evaluated = memory_plan(QWEN, MODEL, trains=False, on_gpu=True)
    assert evaluated.peak == evaluated.weights + evaluated.cache


@pytest.mark.parametrize(
    ("gib", "changes", "hint"),
    [
        (60, {}, "gradient_checkpointing=true or model.train_batch_tokens=8192"),
        (20, {}, "lora_rank=16"),
        (2, {"lora_rank": 8}, "a smaller model"),
        (
            20,
            {"lora_rank": 8, "gradient_checkpointing": True, "sample_batch_tokens": 2**22},
            "sample_batch_tokens=524288",
        ),
    ],
)
def test_what_cannot_fit_is_refused_with_what_to_lower(gib: int, changes: dict[str, int], hint: str):
    with pytest.raises(ValueError, match=f"this GPU has {gib}") as refused:
        check_memory(replace(MODEL, **changes), QWEN, trains=True, device="cuda", memory=gib * GIB)
    assert hint in str(refused.value)


def test_what_fits_and_what_is_not_known_are_let_through():
    check_memory(MODEL, QWEN, trains=True, device="cuda", memory=100 * GIB)
    check_memory(MODEL, {"model_type": "unheard_of"}, trains=True, device="cuda", memory=GIB)


def test_a_run_that_cannot_fit_ends_in_a_line_before_weights_are_loaded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from tests.test_full_gpu import pool, run_here

    monkeypatch.setattr(run, "run_all", run_here)
    monkeypatch.setattr(pool, "die_with_parent", lambda _: None)
    monkeypatch.setattr(planning, "machine_memory", lambda: 2.0**20)
    monkeypatch.setattr(Transformers, "build", lambda *_: pytest.fail("weights were loaded"))
    assert run.main([*SMALL, f"results={tmp_path}"]) == 1
    printed = capfd.readouterr().err
    assert "this machine has 0.0: set " in printed
    assert "Traceback" not in printed
