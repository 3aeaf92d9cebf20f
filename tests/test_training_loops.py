"""What the training loops show a policy, when, and with which weights: on a policy whose weights are a count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.episode import Completion, Problem, Request, SamplingParams, TrainingSample, Turn
from bench.experiment import RunSpec, conduct
from bench.launch.catalogue import compose_plan
from bench.methods.star import Star
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.scripted import Scripted
from bench.rollout import RolloutWorker
from bench.runs.folder import Run, RunKey, find_runs, log_of
from bench.training.config import Training
from bench.training.imitate import fine_tune
from bench.training.reinforce import ReinforceConfig, Selection, Stage, reinforce
from tests.made_episodes import EqualsGold, Riddles, episode
from tests.test_experiment import scripted

OPTIMIZER = OptimizerConfig(learning_rate=1.0)
SAMPLING = SamplingParams(temperature=1.0, max_tokens=100)
PROBLEMS = [Problem(str(number), f"What is {number}?", "right") for number in range(6)]


@dataclass(frozen=True)
class Asked:
    """A request, and the weights that it met."""

    weights: int
    request: Request


class Counting(Scripted):
    """Its weights are the number of its updates; `answer` makes a reply's text of them and of the request."""

    def __init__(self, answer: Callable[[int, Request], str] = lambda *_: "right") -> None:
        super().__init__(["unused"])
        self.weights = 0
        self.asked: list[Asked] = []
        self.updates: list[tuple[int, list[TrainingSample]]] = []  # the weights before each, and what it learned from
        self._answer = answer

    def generate(self, requests: Sequence[Request], sampling: SamplingParams) -> list[Completion]:  # noqa: ARG002
        self.asked += [Asked(self.weights, request) for request in requests]
        texts = [self._answer(self.weights, request) for request in requests]
        return [Completion(text, tuple(map(ord, text)), (0.0,) * len(text), truncated=False) for text in texts]

    def update(self, credits: Sequence[TrainingSample]) -> dict[str, float]:
        self.updates.append((self.weights, list(credits)))
        self.weights += 1
        return super().update(credits)

    def reset(self) -> None:
        self.weights = 0

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.txt").write_text(str(self.weights), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        self.weights = int((folder / "weights.txt").read_text(encoding="utf-8"))

    def problems_of_updates(self) -> list[list[str]]:
        return [[credit.episode.problem.id for credit in credits] for _, credits in self.updates]


class Halves(Riddles):
    """The first three problems are for training, the others held out."""

    def problems(self, split: str) -> tuple[Problem, ...]:
        return tuple(PROBLEMS[:3] if split == "train" else PROBLEMS[3:])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.lock(RunKey("method", "riddles", "counting", "main", 0), tmp_path, {}) as claimed:
        yield claimed


def reinforced(run: Run, policy: Counting, *, selection: str = "last", num_steps: int = 6, task: Any = None) -> None:
    settings = ReinforceConfig(
        num_steps=num_steps,
        problems_per_step=2,
        samples_per_problem=2,
        optimizer=OPTIMIZER,
        sampling=SAMPLING,
        kl_estimator=KLEstimator.exact,
        selection=Selection(selection),
        window=2,
    )
    stage = Stage("stage", num_steps=num_steps, script=(Turn("Again?"),), reward=tuple, kl=(0.0, 0.0))
    reinforce(policy, RolloutWorker(task or Riddles(PROBLEMS), EqualsGold(), seed=0), run, settings, stage)


def training(**sft: Any) -> Training:
    asked = [f"training.sft.{name}={value}" for name, value in sft.items()]
    return compose_plan(["method=star", "training=paper", *asked]).experiment.training


@pytest.mark.parametrize(
    ("best", "kept"), [(0, 2), (1, 4), (2, 6)], ids=["the first window", "one between", "the last window"]
)
def test_a_stage_ends_with_the_weights_of_its_best_window_wherever_it_stands(best: int, kept: int, run: Run):
    policy = Counting(lambda weights, _: "right" if weights // 2 == best else "wrong")
    reinforced(run, policy, selection="best_reward")
    assert policy.weights == kept


def test_the_window_that_is_best_on_the_dev_split_is_kept_though_another_is_best_in_training(run: Run, tmp_path: Path):
    held_out = {problem.id for problem in PROBLEMS[3:]}
    right = {2: held_out, 4: {problem.id for problem in PROBLEMS[:3]}}  # the weights that windows end with
    policy = Counting(lambda weights, request: "right" if request.problem_id in right.get(weights, ()) else "wrong")
    reinforced(run, policy, selection="best_dev", num_steps=4, task=Halves(PROBLEMS))
    assert log_of(find_runs(tmp_path)[0])["selection/dev_accuracy"].dropna().tolist() == [1.0, 0.0]
    assert policy.weights == 2
    assert {problem for problems in policy.problems_of_updates() for problem in problems}.isdisjoint(held_out)


def test_the_steps_of_a_pass_train_on_every_problem_once(run: Run):
    policy = Counting()
    reinforced(run, policy)
    steps = policy.problems_of_updates()
    passes = [sorted(problem for step in steps[first : first + 3] for problem in step) for first in (0, 3)]
    assert passes == 2 * [sorted(2 * [problem.id for problem in PROBLEMS])]  # two samples of each


def test_an_epoch_of_fine_tuning_learns_from_every_conversation_once_and_the_next_in_another_order(run: Run):
    policy = Counting()
    credits = [TrainingSample(episode((0, 1), problem=problem.id), (0.0, 1.0), (0.0, 0.0)) for problem in PROBLEMS]
    settings = training(batch_size=4, num_epochs=2).sft
    fine_tune(policy, RolloutWorker(Riddles(PROBLEMS), EqualsGold(), seed=0), run, settings, credits, stage="imitation")
    batches = policy.problems_of_updates()
    assert [len(batch) for batch in batches] == [4, 2, 4, 2]
    first, second = batches[0] + batches[1], batches[2] + batches[3]
    assert sorted(first) == sorted(second) == [problem.id for problem in PROBLEMS]
    assert first != second


@pytest.mark.parametrize("continued", [False, True])
def test_star_samples_each_iteration_from_the_newest_weights_and_fits_the_base_models_unless_it_continues(
    continued: bool, run: Run
):
    policy = Counting(lambda _, request: "right" if request.turn else "wrong")
    method = Star(num_iterations=3, keep_correct=False, continue_training=continued, loss_on_first=False)
    # Six conversations kept in each iteration, three updates.
    budget = training(samples_per_problem=3, batch_size=2, num_epochs=1, probe_every=0)
    method.train(policy, RolloutWorker(Riddles(PROBLEMS), EqualsGold(), seed=0), run, budget)
    # Both attempts at the six problems, in each of the iterations.
    sampled_from = [asked.weights for asked in policy.asked]
    assert sampled_from == 12 * [0] + 12 * [3] + 12 * [6 if continued else 3]
    assert [weights for weights, _ in policy.updates] == (list(range(9)) if continued else 3 * [0, 1, 2])


def counted(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> tuple[RunSpec, Counting]:
    """A plan whose model is a counting policy, right at every other request."""
    plan = scripted(folder, *overrides)
    gold = {problem.id: problem.gold for split in ("train", "test") for problem in plan.experiment.task.problems(split)}
    form = "Final Answer: The final answer is ${}$. I hope it is correct."
    policy = Counting(lambda _, request: form.format(gold[request.problem_id] if request.seed % 2 else "no number"))
    monkeypatch.setattr(type(plan.experiment.model), "build", lambda *_: policy)
    return plan, policy


def test_an_evaluation_added_later_measures_the_trained_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = ["method=multi_turn_rl", "training.rl.selection=last"]
    plan, policy = counted(tmp_path, monkeypatch, *asked)
    conduct(plan)
    assert policy.weights == 4
    later, fresh = counted(tmp_path, monkeypatch, *asked, "evaluation=[greedy,ten_attempts]")
    conduct(later)
    assert find_runs(tmp_path)[0].evaluations() == ("greedy", "ten_attempts")
    assert not fresh.updates
    assert {asked.weights for asked in fresh.asked} == {4}


@pytest.mark.parametrize("method", ["multi_turn_rl", "star_plus"])
def test_another_seed_trains_on_other_samples_in_another_order_and_the_same_seed_on_the_same(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen = []
    for folder, seed in (("one", 0), ("again", 0), ("other", 1)):
        plan, policy = counted(tmp_path / folder, monkeypatch, f"method={method}", f"seed={seed}", "task.num_train=12")
        conduct(plan)
        asked = [each.request for each in policy.asked if each.request.problem_id in train_ids(plan)]
        seen.append(({request.seed for request in asked}, policy.problems_of_updates()))
    (samples, order), again, (other_samples, other_order) = seen
    assert (samples, order) == again
    assert len(samples) > 10
    assert samples.isdisjoint(other_samples)
    assert order != other_order


def train_ids(plan: RunSpec) -> set[str]:
    return {problem.id for problem in plan.experiment.task.problems("train")}
