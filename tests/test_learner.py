"""The learner on a real transformers model: scoring, stepping, saving."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.episode import Episode, Problem, SamplingParams, TrainingSample
from bench.models.config import Transformers
from bench.models.interface import KLEstimator, OptimizerConfig, Schedule, UpdateStats
from bench.models.logprobs import check_head, compute_logprobs
from bench.models.policy import TransformersPolicy
from bench.rollout import RolloutWorker
from tests.made_episodes import EqualsGold, Riddles, ask_again
from tests.tiny_model import save_tiny_model

SAMPLING = SamplingParams(temperature=1.0, max_tokens=8)


@pytest.fixture
def episodes(tiny_learner: TransformersPolicy) -> list[Episode]:
    problems = [Problem(name, f"What is {name}?", "!") for name in ("this", "that", "the other thing")]
    rollouts = RolloutWorker(Riddles(problems), EqualsGold(), seed=0)
    return rollouts.rollout(
        tiny_learner, problems, next_turn=ask_again, num_attempts=2, sampling=SAMPLING, num_samples=3, seed_key="test"
    )


def begin(learner: TransformersPolicy, rate: float = 1e-2) -> None:
    learner.begin(OptimizerConfig(learning_rate=rate), num_updates=10, kl_estimator=KLEstimator.exact)


def test_sampled_logprobs_are_the_learners_own_token_by_token(
    tiny_learner: TransformersPolicy, episodes: list[Episode]
):
    scores = compute_logprobs(tiny_learner.model, None, episodes, pad_id=0, estimator=KLEstimator.exact)
    torch.testing.assert_close(scores.logprobs_N, scores.sampled_logprobs_N, atol=1e-4, rtol=0)


def test_a_step_makes_rewarded_attempts_likelier(tiny_learner: TransformersPolicy, episodes: list[Episode]):
    begin(tiny_learner)
    chosen = episodes[0]
    before = compute_logprobs(tiny_learner.model, None, [chosen], pad_id=0, estimator=KLEstimator.exact)
    tiny_learner.update([TrainingSample(chosen, (0.0, 1.0), (0.0, 0.0))])
    after = compute_logprobs(tiny_learner.model, None, [chosen], pad_id=0, estimator=KLEstimator.exact)
    second = before.labels_N == before.labels.index("t2")
    assert after.logprobs_N[second].sum() > before.logprobs_N[second].sum()


def test_greedy_output_changes_after_a_large_change_of_weights(
    tiny_learner: TransformersPolicy, episodes: list[Episode]
):
    rollouts = RolloutWorker(Riddles([episodes[0].problem]), EqualsGold(), seed=0)
    greedy = SamplingParams(temperature=0.0, max_tokens=8)
    once = rollouts.rollout(
        tiny_learner, [episodes[0].problem], next_turn=ask_again, num_attempts=1, sampling=greedy, seed_key="a"
    )[0]
    begin(tiny_learner, rate=0.5)
    tiny_learner.update([TrainingSample(episode, (1.0, 1.0), (0.0, 0.0)) for episode in episodes])
    twice = rollouts.rollout(
        tiny_learner, [episodes[0].problem], next_turn=ask_again, num_attempts=1, sampling=greedy, seed_key="a"
    )[0]
    assert once.token_ids != twice.token_ids


def test_reset_brings_back_the_base_model_bit_for_bit(tiny_learner: TransformersPolicy, episodes: list[Episode]):
    base = {name: tensor.clone() for name, tensor in tiny_learner.model.state_dict().items()}
    begin(tiny_learner)
    tiny_learner.update([TrainingSample(episode, (1.0, 1.0), (0.0, 0.0)) for episode in episodes])
    tiny_learner.reset()
    assert all(torch.equal(tensor, base[name]) for name, tensor in tiny_learner.model.state_dict().items())


def test_a_reset_keeps_the_reference_that_was_loaded(tiny_learner: TransformersPolicy, episodes: list[Episode]):
    loaded, load = [], tiny_learner._load_base
    tiny_learner._load_base = lambda: loaded.append(load()) or loaded[-1]  # pyright: ignore[reportAttributeAccessIssue]
    samples = [TrainingSample(episode, (1.0, 1.0), (0.1, 0.1)) for episode in episodes]
    for _ in range(2):
        tiny_learner.reset()
        begin(tiny_learner)
        tiny_learner.update(samples)
    assert len(loaded) == 3  # one for each reset, and one reference


def test_the_divergence_from_the_base_is_zero_before_the_first_step_and_not_after(
    tiny_learner: TransformersPolicy, episodes: list[Episode]
):
    begin(tiny_learner)
    samples = [TrainingSample(episode, (1.0, 1.0), (0.1, 0.1)) for episode in episodes]
    assert tiny_learner.update(samples).kl["t1"] == pytest.approx(0, abs=1e-5)
    assert tiny_learner.update(samples).kl["t1"] > 1e-4


def test_saved_weights_come_back(tiny_learner: TransformersPolicy, episodes: list[Episode], tmp_path: Path):
    begin(tiny_learner)
    tiny_learner.update([TrainingSample(episode, (1.0, 1.0), (0.0, 0.0)) for episode in episodes])
    tiny_learner.save(tmp_path / "weights")
    trained = {name: tensor.clone() for name, tensor in tiny_learner.model.state_dict().items()}
    tiny_learner.reset()
    tiny_learner.restore(tmp_path / "weights")
    assert all(torch.equal(tensor, trained[name]) for name, tensor in tiny_learner.model.state_dict().items())


def test_a_resumed_optimiser_steps_exactly_as_one_that_was_never_interrupted(
    tiny_learner: TransformersPolicy, episodes: list[Episode], tiny_model_folder: Path, tmp_path: Path
):
    samples = [TrainingSample(episode, (1.0, -0.5), (0.1, 0.1)) for episode in episodes]
    begin(tiny_learner)
    tiny_learner.update(samples)
    tiny_learner.save_state(tmp_path)
    tiny_learner.update(samples)
    resumed = Transformers(path=str(tiny_model_folder), threads=1, device="cpu").build(str)
    assert isinstance(resumed, TransformersPolicy)
    begin(resumed)
    resumed.restore_state(tmp_path)
    resumed.update(samples)
    for name, tensor in tiny_learner.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name])


def test_what_a_step_tells_of_itself_counts_only_tokens_that_carried_loss(
    tiny_learner: TransformersPolicy, episodes: list[Episode]
):
    begin(tiny_learner)
    stats = tiny_learner.update([TrainingSample(episode, (0.0, 1.0), (0.0, 0.0)) for episode in episodes])
    assert stats.trained_tokens == sum(stop - start for episode in episodes for start, stop in episode.spans[1:])
    assert stats.loss > 0
    assert stats.grad_norm > 0
    assert set(stats.kl) == set(stats.entropy) == set(stats.logprob_diff) == {"t1", "t2"}


def test_statistics_are_means_so_that_a_batch_and_the_same_batch_twice_over_have_the_same(
    tiny_learner: TransformersPolicy, episodes: list[Episode]
):
    def with_kl(coef: float) -> list[TrainingSample]:
        return [TrainingSample(episode, (1.0, -0.5), (coef, coef)) for episode in episodes]

    def once_and_twice(samples: list[TrainingSample]) -> tuple[UpdateStats, UpdateStats]:
        begin(tiny_learner, rate=1e-12)
        return tiny_learner.update(samples), tiny_learner.update(samples * 2)

    begin(tiny_learner, rate=0.05)
    tiny_learner.update(with_kl(0.1))  # away from the base model
    once, twice = once_and_twice(with_kl(0.0))  # where no sample is another's baseline
    assert twice.loss == pytest.approx(once.loss, rel=1e-4)
    assert twice.grad_norm == pytest.approx(once.grad_norm, rel=1e-3)
    assert twice.trained_tokens == 2 * once.trained_tokens
    assert twice.num_tokens == 2 * once.num_tokens
    once, twice = once_and_twice(with_kl(0.1))
    for name in ("kl", "entropy", "logprob_diff", "effective_sample_size", "clipped"):
        assert getattr(twice, name) == pytest.approx(getattr(once, name), rel=1e-3), name
    assert min(once.kl.values()) > 1e-4


def test_an_update_without_episodes_is_refused(tiny_learner: TransformersPolicy):
    begin(tiny_learner)
    with pytest.raises(ValueError, match="at least one sample"):
        tiny_learner.update([])


@pytest.mark.parametrize(
    ("schedule", "warmup", "rates"),
    [
        (Schedule.constant, 2, [0, 0.5, 1, 1, 1]),
        (Schedule.linear, 2, [0, 0.5, 1, 0.5, 0]),
        (Schedule.cosine, 0, [1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0]),
    ],
)
def test_the_learning_rate_rises_from_zero_and_then_follows_its_schedule(
    schedule: Schedule, warmup: int, rates: list[float], tiny_learner: TransformersPolicy, episodes: list[Episode]
):
    optimizer = OptimizerConfig(learning_rate=1e-3, schedule=schedule, warmup_updates=warmup)
    tiny_learner.begin(optimizer, num_updates=4, kl_estimator=KLEstimator.exact)
    samples = [TrainingSample(episode, (1.0, 1.0), (0.0, 0.0)) for episode in episodes]
    assert [tiny_learner.update(samples).learning_rate for _ in rates] == pytest.approx([1e-3 * rate for rate in rates])


def moved(
    learner: TransformersPolicy, episodes: list[Episode], optimizer: OptimizerConfig, *, num_updates: int
) -> list[torch.Tensor]:
    """How far each update of a stage, and one after its end, moves each weight."""
    learner.begin(optimizer, num_updates=num_updates, kl_estimator=KLEstimator.exact)
    moves = []
    for _ in range(num_updates + 1):
        before = torch.nn.utils.parameters_to_vector(learner.model.parameters()).detach().clone()
        learner.update([TrainingSample(episode, (1.0, 1.0), (0.0, 0.0)) for episode in episodes])
        moves.append((torch.nn.utils.parameters_to_vector(learner.model.parameters()) - before).detach().abs())
    return moves


def test_weights_move_by_the_schedules_rate(tiny_learner: TransformersPolicy, episodes: list[Episode]):
    """Adam's first step moves a weight by the learning rate, whatever its gradient; at the rate 0 nothing moves."""
    optimizer = OptimizerConfig(learning_rate=0.08, schedule=Schedule.linear)
    first, *_, beyond = moved(tiny_learner, episodes, optimizer, num_updates=5)
    assert first.max().item() == pytest.approx(0.08, rel=1e-3)
    assert beyond.max().item() == 0


@pytest.mark.parametrize(
    "other", [{"betas": (0.1, 0.95)}, {"betas": (0.9, 0.1)}, {"eps": 1.0}, {"weight_decay": 0.5}], ids=str
)
def test_every_value_of_the_optimiser_reaches_its_steps(
    other: dict[str, Any], tiny_learner: TransformersPolicy, episodes: list[Episode]
):
    def after_two_updates(**values: Any) -> torch.Tensor:
        tiny_learner.reset()
        config = OptimizerConfig(learning_rate=1e-2, **values)
        tiny_learner.begin(config, num_updates=10, kl_estimator=KLEstimator.exact)
        for rewarded in (0, 1):  # the moments' decay shows where gradients differ
            tiny_learner.update([TrainingSample(episodes[rewarded], (1.0, 0.0), (0.0, 0.0))])
        return torch.cat([weight.flatten() for weight in tiny_learner.model.parameters()]).detach().clone()

    assert torch.equal(after_two_updates(), after_two_updates(betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0))
    assert not torch.allclose(after_two_updates(), after_two_updates(**other))


def test_a_gradient_is_cut_to_the_largest_norm_before_the_step(
    tiny_learner: TransformersPolicy, episodes: list[Episode]
):
    """Adam divides by a gradient's size plus `eps`: by 1 alone, where the gradient is small, as in plain descent."""
    optimizer = OptimizerConfig(learning_rate=100.0, eps=1.0, max_grad_norm=1e-3)
    first, _ = moved(tiny_learner, episodes, optimizer, num_updates=1)
    assert first.norm().item() == pytest.approx(100.0 * 1e-3, rel=1e-2)
    stats = tiny_learner.update([TrainingSample(episode, (1.0, 1.0), (0.0, 0.0)) for episode in episodes])
    assert stats.grad_norm > 1e-2


def test_a_conversation_that_cannot_fit_the_context_is_refused_with_the_cure(tmp_path: Path):
    folder = save_tiny_model(tmp_path / "short", context=64)
    learner = Transformers(path=str(folder), threads=1, device="cpu").build(str)
    with pytest.raises(ValueError, match=r"set model\.max_tokens=\d+"):
        learner.check_can_sample({"p": "What?"}, follow_up_turns=["Sure?"], max_tokens=40, key="model.max_tokens")


def test_a_head_that_the_harness_would_misread_is_refused(
    tiny_learner: TransformersPolicy, monkeypatch: pytest.MonkeyPatch
):
    check_head(tiny_learner.model)
    monkeypatch.setattr(tiny_learner.model.config, "final_logit_softcapping", 0.5, raising=False)
    with pytest.raises(ValueError, match="vocabulary head"):
        check_head(tiny_learner.model)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_folder_that_lacks_something_is_refused_before_loading(tmp_path: Path, missing: str):
    folder = save_tiny_model(tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=r"model\.path="):
        Transformers(path=str(folder)).check()


def test_a_model_folder_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no such folder"):
        Transformers(path="./nowhere/at/all").check()
