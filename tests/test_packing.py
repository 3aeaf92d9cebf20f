"""Packed episodes give what padded ones give, and the head in chunks what the whole head gives, on each family."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch

from bench.episode import Episode, Problem, TrainingSample
from bench.models import vocabulary
from bench.models.config import Precision, Transformers
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.logprobs import TokenLogprobs, compute_logprobs
from bench.models.packing import Packing, can_pack, packed
from bench.models.policy import TransformersPolicy
from tests.made_episodes import attempt
from tests.tiny_model import FAMILIES, save_tiny_model

FAMILY = pytest.mark.parametrize("family", FAMILIES)
ESTIMATOR = pytest.mark.parametrize("estimator", list(KLEstimator))
LENGTHS = (40, 9, 38, 70, 12, 41, 7)  # some alike, and one beyond Gemma-2's window of 16 several times


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save_tiny_model(tmp_path_factory.mktemp("packing") / family, family=family) for family in FAMILIES}


def begun(
    folder: Path,
    *,
    packing: bool,
    estimator: KLEstimator = KLEstimator.exact,
    budget: int = 16_384,
    checkpointing: bool = False,
    dtype: Precision = Precision.float32,
) -> TransformersPolicy:
    attention = "eager" if folder.name == "gemma2" else "sdpa"
    model = Transformers(
        path=str(folder),
        attention=attention,
        device="cpu",
        dtype=dtype,
        train_batch_tokens=budget,
        packing=packing,
        gradient_checkpointing=checkpointing,
    )
    learner = cast(TransformersPolicy, model.build(str))
    learner.begin(OptimizerConfig(learning_rate=1e-2), num_updates=10, kl_estimator=estimator)
    with torch.no_grad():  # away from the base model, so that there is a divergence
        generator = torch.Generator().manual_seed(1)
        for weight in learner._weights():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return learner


def episode(length: int, *, problem: str, sample: int, seed: int) -> Episode:
    """Random ids, of which the last six are two replies with a token of the user's between them."""
    ids = torch.randint(0, 255, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    spans = ((length - 6, length - 3), (length - 2, length))
    attempts = [attempt(correct=False, ids=ids[start:stop]) for start, stop in spans]
    return Episode(Problem(problem, "", ""), sample, tuple(ids), spans, tuple(attempts))


def training_samples(*, kl: float = 0.1) -> list[TrainingSample]:
    episodes = [episode(n, problem=f"p{i % 3}", sample=i, seed=i) for i, n in enumerate(LENGTHS)]
    return [TrainingSample(each, (1.0 - i % 3, i % 2 - 0.5), (kl, 2 * kl)) for i, each in enumerate(episodes)]


def gradient(learner: TransformersPolicy, samples: list[TrainingSample]) -> torch.Tensor:
    for weight in learner._weights():
        weight.grad = None
    learner.backward(samples)
    return torch.cat([weight.grad.flatten() for weight in learner._weights() if weight.grad is not None])


def scored(learner: TransformersPolicy, episodes: list[Episode], *, packing: bool) -> TokenLogprobs:
    model, reference = learner.model, learner._base()
    if not packing:
        return compute_logprobs(model, reference, episodes, pad_id=0, estimator=learner._kl_estimator)
    with packed(model, reference) as attention:
        return compute_logprobs(
            model, reference, episodes, pad_id=0, estimator=learner._kl_estimator, packed_attention=attention
        )


def assert_as_good_as_equal(one: torch.Tensor, other: torch.Tensor) -> None:
    assert (one - other).norm() <= 1e-5 * other.norm()


@FAMILY
@ESTIMATOR
def test_packed_episodes_have_the_padded_ones_logprobs_divergences_and_entropies(
    folders: dict[str, Path], family: str, estimator: KLEstimator
):
    learner = begun(folders[family], packing=True, estimator=estimator)
    episodes = [sample.episode for sample in training_samples()]
    ours, theirs = (scored(learner, episodes, packing=packing) for packing in (True, False))
    for name in ("logprobs_N", "kl_N", "entropy_N"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-5, rtol=1e-5)
    assert theirs.kl_N.abs().max() > 0.01


@FAMILY
@pytest.mark.parametrize("budget", [16_384, 90, 30], ids=["one batch", "some batches", "problems torn apart"])
def test_packed_episodes_have_the_padded_ones_loss_and_gradient(folders: dict[str, Path], family: str, budget: int):
    padded, ours = begun(folders[family], packing=False), begun(folders[family], packing=True, budget=budget)
    samples = training_samples()
    assert_as_good_as_equal(gradient(ours, samples), gradient(padded, samples))
    one, other = ours.backward(samples), padded.backward(samples)
    assert one.loss == pytest.approx(other.loss, rel=1e-5)
    assert one.trained_tokens == other.trained_tokens


@FAMILY
@ESTIMATOR
def test_the_head_in_chunks_has_the_whole_heads_values_and_gradient(
    folders: dict[str, Path], family: str, estimator: KLEstimator, monkeypatch: pytest.MonkeyPatch
):
    learner = begun(folders[family], packing=True, estimator=estimator)
    samples = training_samples()
    episodes = [sample.episode for sample in samples]
    whole, whole_scores = gradient(learner, samples), scored(learner, episodes, packing=True)
    monkeypatch.setattr(vocabulary, "_SMALL", 0)
    monkeypatch.setattr(vocabulary, "_CHUNK_LOGITS", {"cpu": 1_000})  # three positions at a time
    assert_as_good_as_equal(gradient(learner, samples), whole)
    for name in ("logprobs_N", "kl_N", "entropy_N"):
        ours, theirs = getattr(scored(learner, episodes, packing=True), name), getattr(whole_scores, name)
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_chunks_of_the_head_have_no_logits_for_tokens_that_nothing_is_learned_from(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    learner = begun(folders["llama"], packing=True)
    monkeypatch.setattr(vocabulary, "_SMALL", 0)
    samples = [replace(sample, advantages=(0.0, 1.0)) for sample in training_samples(kl=0.0)]
    made: list[int] = []
    inner = vocabulary._logits
    monkeypatch.setattr(vocabulary, "_logits", lambda hidden, *rest: made.append(len(hidden)) or inner(hidden, *rest))
    learner.backward(samples)
    assert made == [5 * len(LENGTHS), 2 * len(LENGTHS)]  # forward all replies' tokens, and back the second attempts'


@FAMILY
def test_changing_one_packed_episode_changes_no_other_ones_logprobs(folders: dict[str, Path], family: str):
    learner = begun(folders[family], packing=True)
    episodes = [sample.episode for sample in training_samples()]
    before = scored(learner, episodes, packing=True)
    for changed, length in enumerate(LENGTHS):
        others = list(episodes)
        others[changed] = episode(length, problem="other", sample=0, seed=100 + changed)
        after = scored(learner, others, packing=True)
        kept_N = before.rows_N != changed
        assert torch.equal(before.logprobs_N[kept_N], after.logprobs_N[kept_N])
        assert not torch.equal(before.logprobs_N[~kept_N], after.logprobs_N[~kept_N])


def test_a_head_with_a_bias_takes_the_plain_way_which_adds_it(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    model = begun(folders["llama"], packing=False).model
    hidden_NH = torch.randn(5, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    targets_N = torch.arange(5)

    def logprobs() -> torch.Tensor:
        return vocabulary.through_head(model, None, hidden_NH, None, targets_N, estimator=KLEstimator.k1)[0].detach()

    monkeypatch.setattr(vocabulary, "_SMALL", 0)
    without = logprobs()
    plain = cast(torch.nn.Linear, model.get_output_embeddings())
    biased = torch.nn.Linear(plain.in_features, plain.out_features)
    biased.weight = plain.weight
    model.set_output_embeddings(biased)
    logits_NV = (hidden_NH @ plain.weight.T).detach()
    for found, bias_V in ((without, 0.0), (logprobs(), biased.bias.detach())):
        assert torch.allclose(found, (logits_NV + bias_V).log_softmax(-1)[range(5), targets_N], atol=1e-5)


def test_packing_pads_at_most_a_quarter_and_leaves_each_episode_where_it_says():
    packing = Packing(LENGTHS, attention="sdpa")
    assert [list(group) for group in packing.groups] == [[70], [41, 40, 38], [12, 9], [7]]
    assert [packing.positions()[start] for start in packing.starts] == [0] * len(LENGTHS)
    assert sorted(zip(packing.starts, LENGTHS, strict=True))[-1] == (sum(LENGTHS) - 7, 7)


def test_a_packed_pass_leaves_the_models_attention_as_it_was(folders: dict[str, Path]):
    learner = begun(folders["llama"], packing=True)
    with pytest.raises(RuntimeError), packed(learner.model):
        raise RuntimeError
    assert learner.model.config._attn_implementation == "sdpa"


def test_models_of_every_family_can_be_packed_with_the_attention_that_they_have(folders: dict[str, Path]):
    for family, folder in folders.items():
        assert can_pack(begun(folder, packing=True).model), family


def test_an_attention_that_cannot_be_packed_is_padded(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    learner = begun(folders["llama"], packing=True)
    assert can_pack(learner.model)
    monkeypatch.setattr(learner.model.config, "_attn_implementation_internal", "flex_attention")
    assert not can_pack(learner.model)


@FAMILY
@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
def test_layers_that_are_run_again_rather_than_kept_give_the_same_gradient(
    folders: dict[str, Path], family: str, packing: bool
):
    kept = begun(folders[family], packing=packing)
    again = begun(folders[family], packing=packing, checkpointing=True)
    samples = training_samples()
    passes: list[int] = []
    layer = again.model.get_submodule("model.layers.0.mlp")
    layer.register_forward_pre_hook(lambda *_: passes.append(1))
    assert torch.equal(gradient(again, samples), gradient(kept, samples))
    assert len(passes) == 2


def test_a_packed_gradient_in_bfloat16_points_where_the_padded_one_does(folders: dict[str, Path]):
    samples = training_samples()
    one, other = (
        gradient(begun(folders["qwen2"], packing=packing, dtype=Precision.bfloat16), samples)
        for packing in (True, False)
    )
    assert torch.cosine_similarity(one, other, dim=0) > 0.999
