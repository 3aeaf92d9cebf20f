"""The learner on each family of models and in each precision: what is sampled is what is scored, moved and saved."""

from pathlib import Path
from typing import cast

import pytest
import torch
from transformers import AutoModelForCausalLM

from bench.episode import Episode, Problem, SamplingParams, TrainingSample
from bench.models.config import Precision, Transformers
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.logprobs import compute_logprobs
from bench.models.policy import TransformersPolicy
from bench.rollout import RolloutWorker
from tests.made_episodes import EqualsGold, Riddles, ask_again
from tests.tiny_model import FAMILIES, save_tiny_model

# Sampler and learner run one model over other batches, with and without a cache. How far their log-probabilities may be
# apart, in nats: the largest difference, and the mean over tokens. Each bound is twice the largest of 40 measurements
# on a CPU, made as in the test below with model seeds 0 to 19, before and after an update. Those were
#   float32    Llama 1.8e-5 and 1.2e-6, Qwen2 1.8e-5 and 1.1e-6, Gemma-2 2.4e-6 and 2.3e-7
#   bfloat16   Llama 0.069 and 0.0039, Qwen2 0.099 and 0.0041, Gemma-2 0.0045 and 4.3e-5
# Gemma-2 caps its logits at 3, the others' reach ten; bfloat16 rounds by up to 2^-9 in some ten operations per layer.
APART = {
    (Precision.float32, "llama"): (3.6e-5, 2.4e-6),
    (Precision.float32, "qwen2"): (3.6e-5, 2.2e-6),
    (Precision.float32, "gemma2"): (4.8e-6, 4.6e-7),
    (Precision.bfloat16, "llama"): (0.14, 0.0078),
    (Precision.bfloat16, "qwen2"): (0.2, 0.0083),
    (Precision.bfloat16, "gemma2"): (0.0091, 8.6e-5),
}
FAMILY = pytest.mark.parametrize("family", FAMILIES)
DTYPE = pytest.mark.parametrize("dtype", list(Precision))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save_tiny_model(tmp_path_factory.mktemp("family") / family, family=family) for family in FAMILIES}


def built(folder: Path, dtype: Precision, *, batch_tokens: int = 16_384) -> TransformersPolicy:
    attention = "eager" if folder.name == "gemma2" else "sdpa"
    model = Transformers(
        path=str(folder), dtype=dtype, attention=attention, threads=1, device="cpu", train_batch_tokens=batch_tokens
    )
    return cast(TransformersPolicy, model.build(str))


def begun(folder: Path, dtype: Precision, *, batch_tokens: int = 16_384, rate: float = 1e-2) -> TransformersPolicy:
    learner = built(folder, dtype, batch_tokens=batch_tokens)
    learner.begin(OptimizerConfig(learning_rate=rate), num_updates=300, kl_estimator=KLEstimator.exact)
    return learner


def sampled_episodes(learner: TransformersPolicy) -> list[Episode]:
    problems = [Problem(name, f"What is {name}?", "!") for name in ("this", "that", "the other thing")]
    rollouts = RolloutWorker(Riddles(problems), EqualsGold(), seed=0)
    sampling = SamplingParams(temperature=1.0, max_tokens=8)
    return rollouts.rollout(
        learner, problems, next_turn=ask_again, num_attempts=2, sampling=sampling, num_samples=3, seed_key="test"
    )


def as_samples(episodes: list[Episode], *, kl: float = 0.1) -> list[TrainingSample]:
    return [
        TrainingSample(episode, (1.0, -0.5) if i % 2 else (-1.0, 0.5), (kl, kl)) for i, episode in enumerate(episodes)
    ]


def weights(learner: TransformersPolicy) -> dict[str, torch.Tensor]:
    """What the optimiser moves."""
    return {name: weight.clone() for name, weight in learner._weights().state_dict().items()}


def gradient(learner: TransformersPolicy, samples: list[TrainingSample]) -> torch.Tensor:
    for weight in learner._weights():
        weight.grad = None
    learner.backward(samples)
    return torch.cat([weight.grad.flatten() for weight in learner._weights() if weight.grad is not None])


@DTYPE
@FAMILY
def test_sampled_logprobs_are_the_learners_before_and_after_an_update(
    folders: dict[str, Path], family: str, dtype: Precision
):
    learner = begun(folders[family], dtype)
    for _ in range(2):
        episodes = sampled_episodes(learner)
        scores = compute_logprobs(learner.model, None, episodes, pad_id=0, estimator=KLEstimator.exact)
        apart_N = (scores.logprobs_N - scores.sampled_logprobs_N).abs()
        assert scores.logprobs_N.dtype == torch.float32
        largest, mean = APART[dtype, family]
        assert apart_N.max() < largest
        assert apart_N.mean() < mean
        learner.update(as_samples(episodes))


@DTYPE
@FAMILY
def test_policy_and_reference_are_one_function_before_the_first_update(
    folders: dict[str, Path], family: str, dtype: Precision
):
    learner = begun(folders[family], dtype)
    samples = as_samples(sampled_episodes(learner))
    assert learner.update(samples).kl["t2"] == pytest.approx(0, abs=1e-5)
    assert learner.update(samples).kl["t2"] > 1e-4


@FAMILY
def test_a_gradient_in_bfloat16_points_where_float32s_does(folders: dict[str, Path], family: str):
    exact, rounded = (begun(folders[family], dtype) for dtype in Precision)
    samples = as_samples(sampled_episodes(exact))
    one, other = gradient(exact, samples), gradient(rounded, samples)
    assert other.dtype == torch.float32
    # Products are rounded by 2^-9 of logits of up to ten; on weights of a real size 200 steps agree to 0.999 (below).
    assert torch.cosine_similarity(one, other, dim=0) > 0.98
    assert other.norm() == pytest.approx(one.norm().item(), rel=0.05)


@DTYPE
@FAMILY
def test_saved_weights_come_back_and_transformers_reads_them(
    folders: dict[str, Path], family: str, dtype: Precision, tmp_path: Path
):
    learner = begun(folders[family], dtype)
    learner.update(as_samples(sampled_episodes(learner)))
    learner.save(tmp_path)
    trained, sampled = weights(learner), {name: w.clone() for name, w in learner.model.state_dict().items()}
    again = built(folders[family], dtype)
    again.restore(tmp_path)
    assert all(torch.equal(weight, trained[name]) for name, weight in weights(again).items())
    again.end()
    assert all(torch.equal(weight, sampled[name]) for name, weight in again.model.state_dict().items())
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    assert all(torch.equal(theirs[name], weight) for name, weight in trained.items())


@DTYPE
@FAMILY
def test_a_resumed_learner_steps_exactly_as_one_that_was_never_interrupted(
    folders: dict[str, Path], family: str, dtype: Precision, tmp_path: Path
):
    learner = begun(folders[family], dtype, rate=1e-4)
    samples = as_samples(sampled_episodes(learner))
    learner.update(samples)
    learner.save_state(tmp_path)
    resumed = begun(folders[family], dtype, rate=1e-4)
    resumed.restore_state(tmp_path)
    for each in (learner, resumed):
        each.update(samples)
    assert all(torch.equal(weight, weights(learner)[name]) for name, weight in weights(resumed).items())


@DTYPE
@FAMILY
def test_borders_of_micro_batches_change_nothing(folders: dict[str, Path], family: str, dtype: Precision):
    whole, parts = (begun(folders[family], dtype, batch_tokens=size) for size in (16_384, 200))
    samples = as_samples(sampled_episodes(whole))
    for learner in (whole, parts):  # so that the KL is not zero
        learner.update(samples)
    parts._weights().load(whole._weights().state_dict())
    one, other = gradient(whole, samples), gradient(parts, samples)
    # In bfloat16 each micro-batch's part of the gradient is rounded by itself.
    assert (one - other).norm() < (1e-4 if dtype is Precision.float32 else 2e-2) * one.norm()


def test_tied_embeddings_stay_tied_in_bfloat16(folders: dict[str, Path]):
    learner = begun(folders["qwen2"], Precision.bfloat16)
    learner.update(as_samples(sampled_episodes(learner)))
    named = learner.model.state_dict()
    embeddings, head = named["model.embed_tokens.weight"], named["lm_head.weight"]
    assert head.dtype == torch.float32
    assert embeddings.dtype == torch.bfloat16
    assert torch.equal(embeddings, head.bfloat16())
    assert len(list(learner._weights())) == len(list(learner.model.parameters())) - 1


def test_an_evaluation_in_bfloat16_holds_no_float32_weights_but_the_heads(folders: dict[str, Path]):
    learner = begun(folders["llama"], Precision.bfloat16)
    learner.update(as_samples(sampled_episodes(learner)))
    learner.end()
    assert learner._masters is None
    wide = {name for name, weight in learner.model.named_parameters() if weight.dtype != torch.bfloat16}
    assert wide == {"lm_head.weight"}


def displacement(folder: Path, dtype: Precision) -> torch.Tensor:
    """What 200 steps at the paper's rate do to the weights, in one vector."""
    learner = begun(folder, dtype, rate=5e-6)
    samples = as_samples(sampled_episodes(begun(folder, Precision.float32)), kl=0.01)
    before = vector(learner)
    for _ in range(200):
        learner.update(samples)
    return vector(learner) - before


def vector(learner: TransformersPolicy) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in learner._weights()])


@FAMILY
def test_training_in_bfloat16_moves_weights_as_far_as_float32_and_to_the_same_place(family: str, tmp_path: Path):
    folder = save_tiny_model(tmp_path / family, family=family, initializer_range=0.02)
    exact, rounded = (displacement(folder, dtype) for dtype in Precision)
    length = (rounded.norm() / exact.norm()).item()
    cosine = torch.cosine_similarity(exact, rounded, dim=0).item()
    print(f"{family}: {100 * length:.1f} % of float32's displacement, cosine {cosine:.4f}")
    assert 0.95 < length < 1.05
    assert cosine > 0.99
