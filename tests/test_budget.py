"""What a budget's values may be, and which numbers of conversations and updates follow from them."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, cast

import pytest

from bench.episode import Problem, SamplingParams
from bench.evaluation import Evaluation
from bench.launch.catalogue import compose_spec
from bench.methods.score import Baseline, Score
from bench.methods.score_star_stage2 import ScoreStarStage2
from bench.methods.star import Star, deal
from bench.tasks.interface import Task
from bench.training.config import Training
from bench.training.stages import Imitate
from tests.made_episodes import Riddles


@cache
def paper() -> Training:
    return compose_spec(["method=score", "training=paper", "model=scripted", "model.replies=[yes]"]).experiment.training


def budget(*, num_steps: int = 10, problems_per_step: int = 4, group_size: int = 3, **of_training: Any) -> Training:
    """10 steps of 12 conversations, unless said otherwise."""
    counts = {"num_steps": num_steps, "problems_per_step": problems_per_step, "group_size": group_size}
    return replace(paper(), rl=replace(paper().rl, **counts), **of_training)


def with_sft(training: Training, **values: Any) -> Training:
    return replace(training, sft=replace(training.sft, **values))


def score(**values: Any) -> Score:
    fields = {"stage1": True, "stage2": True, "reward_shaping": True, "adaptive_beta2": False, "discount": 0.0}
    return Score(**{**fields, "baseline": Baseline.loo, "offline_fraction": 0.0, "num_attempts": 2, **values})


def star(num_iterations: int) -> Star:
    return Star(num_iterations=num_iterations, keep_correct=False, continue_training=False, loss_on_first=False)


def evaluation(**values: Any) -> Evaluation:
    return Evaluation(**{"sampling": SamplingParams(temperature=1.0, max_tokens=8), **values})


@pytest.mark.parametrize(
    ("make", "key", "smallest"),
    [
        (lambda n: budget(num_steps=n), "training.rl.num_steps", 1),
        (lambda n: budget(problems_per_step=n), "training.rl.problems_per_step", 1),
        (lambda n: budget(group_size=n), "training.rl.group_size", 2),
        (lambda n: replace(budget().rl, checkpoint_every=n), "training.rl.checkpoint_every", 1),
        (lambda n: with_sft(budget(), samples_per_problem=n), "training.sft.samples_per_problem", 1),
        (lambda n: with_sft(budget(), num_updates=n), "training.sft.num_updates", 1),
        (lambda n: with_sft(budget(), num_epochs=n), "training.sft.num_epochs", 1),
        (lambda n: with_sft(budget(), batch_size=n), "training.sft.batch_size", 1),
        (lambda n: with_sft(budget(), checkpoint_every=n), "training.sft.checkpoint_every", 1),
        (lambda n: with_sft(budget(), probe_problems=n), "training.sft.probe_problems", 1),
        (lambda n: with_sft(budget(), probe_every=n), "training.sft.probe_every", 0),
        (lambda n: replace(budget(), alpha=n), "training.alpha", 0),
        (lambda n: replace(budget(), beta1=n), "training.beta1", 0),
        (lambda n: replace(budget(), beta2=n), "training.beta2", 0),
        (lambda n: replace(budget(), stage1_fraction=n), "training.stage1_fraction", 0),
        (lambda n: score(num_attempts=n), "method.num_attempts", 2),
        (lambda n: score(offline_fraction=n), "method.offline_fraction", 0),
        (lambda n: score(discount=n), "method.discount", 0),
        (star, "method.num_iterations", 1),
        (lambda n: ScoreStarStage2(num_iterations=n, keep_correct=True), "method.num_iterations", 1),
        (lambda n: evaluation(num_attempts=n), "num_attempts", 1),
        (lambda n: evaluation(num_samples=n), "num_samples", 1),
    ],
)
def test_the_smallest_value_that_makes_sense_is_taken_and_the_next_is_refused_by_its_key(
    make: Callable[[int], object], key: str, smallest: int
):
    make(smallest)
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        make(smallest - 1)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda value: replace(budget(), stage1_fraction=value), "training.stage1_fraction"),
        (lambda value: score(offline_fraction=value), "method.offline_fraction"),
        (lambda value: score(discount=value), "method.discount"),
    ],
)
def test_a_fraction_may_be_1_and_no_more(make: Callable[[float], object], key: str):
    make(1.0)
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        make(1.01)


def test_greedy_decoding_has_one_sample_and_sampling_any_number():
    evaluation(num_samples=5)
    greedy = SamplingParams(temperature=0, max_tokens=8)
    evaluation(num_samples=1, sampling=greedy)
    with pytest.raises(ValueError, match="num_samples must be 1"):
        evaluation(num_samples=2, sampling=greedy)


def test_the_baseline_without_the_past_is_for_returns_without_the_future():
    score(baseline=Baseline.loo_residual)
    score(baseline=Baseline.loo, discount=0.1)
    with pytest.raises(ValueError, match=r"method\.baseline=loo_residual"):
        score(baseline=Baseline.loo_residual, discount=0.1)


def test_score_has_a_stage_to_train():
    for stages in ({"stage1": False}, {"stage2": False}):
        score(**stages)
    with pytest.raises(ValueError, match="leave nothing to train"):
        score(stage1=False, stage2=False)


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        (score(), {"stage1": 4, "stage2": 6}),
        (score(stage1=False), {"stage2": 10}),
        (score(stage2=False), {"stage1": 10, "stage2": 0}),
        (score(num_attempts=3), {"stage1a": 2, "stage1b": 2, "stage2": 6}),
        (score(num_attempts=4), {"stage1a": 2, "stage1b": 1, "stage1c": 1, "stage2": 6}),
    ],
    ids=["both", "stage 2 alone", "stage 1 alone", "three attempts", "four attempts"],
)
def test_the_stages_of_score_share_its_steps(method: Score, steps: dict[str, int]):
    stages = method.stages(Riddles([]), budget(stage1_fraction=0.4))
    assert {stage.name: getattr(stage, "num_steps") for stage in stages} == steps  # noqa: B009  of one of two types


def test_star_after_stage_one_goes_on_from_it_with_the_steps_that_it_left():
    method = ScoreStarStage2(num_iterations=2, keep_correct=True)
    task = Riddles([Problem(str(number), "?", "!") for number in range(6)])
    first, *iterations = method.stages(cast(Task, task), budget(stage1_fraction=0.4))
    assert (first.name, first.num_steps) == ("stage1", 4)  # pyright: ignore[reportAttributeAccessIssue]
    assert [(each.name, each.start_from, each.num_conversations) for each in iterations] == [  # pyright: ignore
        ("star/1", "stage1", 36),
        ("star/2", "stage1", 36),
    ]
    for fraction in (0.0, 1.0):
        with pytest.raises(ValueError, match="leaves one of the two stages without steps"):
            method.stages(cast(Task, task), budget(stage1_fraction=fraction))


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("base", []),
        ("single_turn_rl", ["single_turn"]),
        ("multi_turn_rl", ["multi_turn"]),
        ("score", ["stage1", "stage2"]),
        ("star", ["star/1", "star/2", "star/3"]),
        ("score_star_stage2", ["stage1", "star/1", "star/2", "star/3"]),
        ("pair_sft", ["pair_sft"]),
    ],
)
def test_stages_keep_the_names_by_which_a_killed_run_and_its_log_are_read(method: str, names: list[str]):
    task = Riddles([Problem(str(number), "?", "!") for number in range(6)])
    chosen = compose_spec([f"method={method}", "model=scripted", "model.replies=[yes]"]).method
    stages = chosen.stages(cast(Task, task), budget(stage1_fraction=0.4))
    assert [stage.name for stage in stages] == names
    sampled_ahead = [stage.seed_key for stage in stages if isinstance(stage, Imitate)]
    assert sampled_ahead == (["pair_sft/collect"] if method == "pair_sft" else [n for n in names if "star" in n])


def test_conversations_are_what_the_steps_sample_unless_samples_are_set():
    training = budget()
    assert training.num_conversations(7) == 120
    assert training.num_conversations(7, num_steps=0) == 0
    assert training.num_conversations(7, num_steps=3) == 36
    assert with_sft(training, samples_per_problem=5).num_conversations(7, num_steps=3) == 35


def test_a_missed_budget_is_told_with_its_numbers_and_one_that_is_kept_is_not():
    assert budget().budget_missed(7) is None
    assert with_sft(budget(), samples_per_problem=20).budget_missed(6) is None
    told = with_sft(budget(), samples_per_problem=5).budget_missed(7)
    assert told is not None
    for part in ("samples_per_problem=5 on 7 problems", "35 conversations", "num_steps=10 in batches of 12, is 120"):
        assert part in told


def test_updates_of_imitation_fall_to_a_part_of_the_steps_and_are_never_none():
    assert with_sft(budget(), num_updates=None).imitation_updates(num_steps=5) is None
    training = with_sft(budget(), num_updates=30)
    assert training.imitation_updates() == 30
    assert training.imitation_updates(num_steps=3) == 9
    assert training.imitation_updates(num_steps=0) == 1


@pytest.mark.parametrize("num_iterations", [1, 2, 3, 5])
@pytest.mark.parametrize("num_problems", [1, 4, 7])
@pytest.mark.parametrize("num_conversations", [1, 7, 12, 30, 61])
def test_all_conversations_are_dealt_as_evenly_as_whole_samples_allow(
    num_conversations: int, num_problems: int, num_iterations: int
):
    shares = deal(num_conversations, num_problems=num_problems, num_iterations=num_iterations)
    assert len(shares) == num_iterations
    assert sum(shares) == max(num_conversations, num_iterations)
    assert min(shares) >= 1
    most_apart = num_problems if num_conversations >= num_problems * num_iterations else 1
    assert max(shares) - min(shares) <= most_apart


def test_updates_of_star_are_shared_by_its_iterations_with_one_for_each():
    task = Riddles([Problem(str(number), "?", "!") for number in range(6)])
    for num_updates, updates in ((8, [3, 3, 2]), (2, [1, 1, 1]), (None, [None] * 3)):
        stages = star(3).stages(task, with_sft(budget(), num_updates=num_updates))
        assert [(stage.name, getattr(stage, "num_updates")) for stage in stages] == [  # noqa: B009
            (f"star/{number}", count) for number, count in enumerate(updates, 1)
        ]
