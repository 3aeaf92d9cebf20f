"""Adapters: what they start as, what learns, the reference, saving and resuming, and the merged weights."""

import importlib.util
from pathlib import Path
from typing import cast

import pytest
import torch
from transformers import AutoModelForCausalLM

from bench import run
from bench.episode import Episode, Request, SamplingParams, TrainingSample
from bench.models import config
from bench.models.config import Precision, Transformers
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.logprobs import compute_logprobs
from bench.models.lora import merged
from bench.models.policy import TransformersPolicy
from tests.test_full_gpu import SMALL
from tests.test_packing import FAMILY, training_samples
from tests.tiny_model import FAMILIES, save_tiny_model


def test_peft_is_asked_for_where_it_is_absent(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"\[lora\]"):
        Transformers(path=str(tiny_model_folder), lora_rank=4).check()


def test_a_rank_below_one_is_refused():
    with pytest.raises(ValueError, match="or null to train all weights"):
        Transformers(path="anything", lora_rank=0)


needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed: extra lora")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save_tiny_model(tmp_path_factory.mktemp("lora") / family, family=family) for family in FAMILIES}


def begun(folder: Path, *, dtype: Precision = Precision.float32, packing: bool = True) -> TransformersPolicy:
    model = Transformers(
        path=str(folder),
        attention="eager" if folder.name == "gemma2" else "sdpa",
        device="cpu",
        dtype=dtype,
        lora_rank=4,
        packing=packing,
    )
    learner = cast(TransformersPolicy, model.build(str))
    learner.begin(OptimizerConfig(learning_rate=1e-2), num_updates=10, kl_estimator=KLEstimator.exact)
    return learner


def logprobs(learner: TransformersPolicy, episodes: list[Episode]) -> torch.Tensor:
    with torch.no_grad():
        return compute_logprobs(learner.model, None, episodes, pad_id=0, estimator=KLEstimator.exact).logprobs_N


@needs_peft
@FAMILY
@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
def test_the_adapted_model_starts_as_the_base_and_moves_away_from_it(
    folders: dict[str, Path], family: str, packing: bool
):
    learner = begun(folders[family], packing=packing)
    base = {name: weight.clone() for name, weight in learner.model.named_parameters() if "lora_" not in name}
    samples = training_samples()
    assert learner.update(samples).kl["t1"] == pytest.approx(0, abs=1e-6)
    assert learner.update(samples).kl["t1"] > 1e-4
    assert learner._reference is None  # the base is the model itself
    assert all(torch.equal(weight, base[name]) for name, weight in learner.model.named_parameters() if name in base)
    assert all(weight.dtype == torch.float32 for weight in learner._weights())


@needs_peft
def test_the_reference_is_the_base_model(folders: dict[str, Path]):
    learner = begun(folders["llama"])
    samples = training_samples()
    episodes = [sample.episode for sample in samples]
    learner.update(samples)
    base = Transformers(path=str(folders["llama"]), device="cpu").build(str)
    ours, theirs = (
        compute_logprobs(learner.model, reference, episodes, pad_id=0, estimator=KLEstimator.exact).kl_N
        for reference in (learner.model, cast(TransformersPolicy, base).model)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert ours.max() > 1e-3


@needs_peft
@FAMILY
def test_sampled_logprobs_are_the_adapted_learners_own(folders: dict[str, Path], family: str):
    learner = begun(folders[family])
    learner.update(training_samples())
    episode = training_samples()[0].episode
    (completion,) = learner.generate(
        [Request(episode.token_ids, 1, "p", 0, 0)], SamplingParams(temperature=1.0, max_tokens=8)
    )
    ids = torch.tensor([[*episode.token_ids, *completion.token_ids]])
    with torch.no_grad():
        logprobs_TV = learner.model(ids, use_cache=False).logits[0].log_softmax(-1)
    own = [logprobs_TV[len(episode.token_ids) - 1 + i, token].item() for i, token in enumerate(completion.token_ids)]
    assert completion.logprobs == pytest.approx(own, abs=1e-4)


@needs_peft
@FAMILY
def test_merged_weights_are_a_plain_model_that_computes_the_same(folders: dict[str, Path], family: str):
    learner = begun(folders[family])
    learner.update(training_samples())
    episodes = [sample.episode for sample in training_samples()]
    adapted = logprobs(learner, episodes)
    plain = AutoModelForCausalLM.from_pretrained(
        folders[family], attn_implementation="eager" if family == "gemma2" else "sdpa"
    )
    before = compute_logprobs(plain, None, episodes, pad_id=0, estimator=KLEstimator.exact).logprobs_N
    plain.load_state_dict(dict(merged(learner.model)), strict=False)
    assert set(dict(merged(learner.model))) == {name for name, _ in plain.named_parameters(remove_duplicate=False)}
    after = compute_logprobs(plain, None, episodes, pad_id=0, estimator=KLEstimator.exact).logprobs_N
    torch.testing.assert_close(after, adapted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(before, after, atol=1e-2)


@needs_peft
@pytest.mark.parametrize("dtype", list(Precision))
def test_adapters_are_saved_alone_come_back_and_resume_exactly(
    folders: dict[str, Path], dtype: Precision, tmp_path: Path
):
    learner = begun(folders["qwen2"], dtype=dtype)
    samples: list[TrainingSample] = training_samples()
    learner.update(samples)
    learner.save(tmp_path / "weights")
    learner.save_state(tmp_path / "state")
    assert (tmp_path / "weights" / "adapter_config.json").is_file()
    assert not (tmp_path / "weights" / "model.safetensors").exists()
    trained = {name: weight.clone() for name, weight in learner._weights().state_dict().items()}
    learner.reset()
    learner.begin(OptimizerConfig(learning_rate=1e-2), num_updates=10, kl_estimator=KLEstimator.exact)
    assert learner.update(samples).kl["t1"] == pytest.approx(0, abs=1e-5)
    learner.restore(tmp_path / "weights")
    assert all(torch.equal(weight, trained[name]) for name, weight in learner._weights().state_dict().items())
    resumed, again = begun(folders["qwen2"], dtype=dtype), begun(folders["qwen2"], dtype=dtype)
    for each in (resumed, again):
        each.restore_state(tmp_path / "state")
        each.update(samples)
    for name, weight in resumed._weights().state_dict().items():
        assert torch.equal(weight, again._weights().state_dict()[name])
        assert not torch.equal(weight, trained[name])


@needs_peft
def test_a_run_trains_and_evaluates_adapters_from_the_command_line(tmp_path: Path):
    assert run.main([*SMALL, "jobs=1", "model.lora_rank=4", f"results={tmp_path}"]) == 0
    (manifest,) = tmp_path.rglob("manifest.json")
    assert '"lora_rank": 4' in manifest.read_text(encoding="utf-8")
    (weights,) = tmp_path.rglob("weights")
    assert (weights / "adapter_model.safetensors").is_file()
