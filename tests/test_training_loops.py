"""What the training loops show a policy, when, and with which weights: on a policy whose weights are a count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from bench.conduct import conduct
from bench.episode import Completion, Problem, Request, SamplingParams, TrainingSample
from bench.experiment import RunSpec
from bench.launch.catalogue import compose_spec
from bench.methods.star import Star
from bench.models.interface import OnDone, UpdateStats
from bench.models.scripted import Scripted
from bench.rollout import RolloutWorker
from bench.runs.finished import find_runs, log_of
from bench.runs.folder import Run, RunKey
from bench.tasks.interface import Task
from bench.training.advantages import per_attempt
from bench.training.run_stages import run_stages
from bench.training.stages import Imitate, Reinforce, Stage, check_stages
from bench.training.trainer import Trainer
from tests.made_episodes import EqualsGold, Riddles, ask_again
from tests.test_experiment import scripted

BUDGET = ["training.rl.problems_per_step=2", "training.rl.group_size=2", "training.rl.checkpoint_every=2"]
PROBLEMS = [Problem(str(number), f"What is {number}?", "right") for number in range(6)]


@dataclass(frozen=True)
class Sampled:
    """A request, and the weights that replied to it."""

    weights: int
    request: Request


class Counting(Scripted):
    """Its weights are the number of its updates; `answer` makes a reply's text of them and of the request."""

    def __init__(self, answer: Callable[[int, Request], str] = lambda *_: "right") -> None:
        super().__init__(["unused"])
        self.weights = 0
        self.requests: list[Sampled] = []
        self.updates: list[tuple[int, list[TrainingSample]]] = []  # the weights before each, and what it learned from
        self._answer = answer

    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingParams,  # noqa: ARG002
        on_done: OnDone | None = None,  # noqa: ARG002
    ) -> list[Completion]:
        self.requests += [Sampled(self.weights, request) for request in requests]
        texts = [self._answer(self.weights, request) for request in requests]
        return [Completion(text, tuple(map(ord, text)), (0.0,) * len(text), truncated=False) for text in texts]

    def update(self, samples: Sequence[TrainingSample]) -> UpdateStats:
        self.updates.append((self.weights, list(samples)))
        self.weights += 1
        return super().update(samples)

    def reset(self) -> None:
        self.weights = 0

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.txt").write_text(str(self.weights), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        self.weights = int((folder / "weights.txt").read_text(encoding="utf-8"))

    def problems_of_updates(self) -> list[list[str]]:
        return [[sample.episode.problem.id for sample in samples] for _, samples in self.updates]


class Halves(Riddles):
    """The first three problems are for training, the others held out."""

    def problems(self, split: str) -> tuple[Problem, ...]:
        return tuple(PROBLEMS[:3] if split == "train" else PROBLEMS[3:])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.lock(RunKey("method", "riddles", "counting", "main", 0), tmp_path, {}) as claimed:
        yield claimed


def trained(
    run: Run, policy: Counting, stages: Sequence[Stage], *overrides: str, task: Any = None, next_turn: Any = ask_again
) -> None:
    """Run stages at a budget in which a step holds two samples of two problems."""
    config = compose_spec(["method=score", "training=paper", *BUDGET, *overrides]).experiment.training
    rollouts = RolloutWorker(task or Riddles(PROBLEMS), EqualsGold(), seed=0)
    run_stages(stages, Trainer(policy, rollouts, run, config, next_turn))


def reinforced(run: Run, policy: Counting, *, selection: str = "last", num_steps: int = 6, task: Any = None) -> None:
    stage = Reinforce(name="stage", num_steps=num_steps, reward=per_attempt(tuple), kl_coefs=(0.0,))
    trained(run, policy, [stage], f"training.rl.selection={selection}", task=task)


@pytest.mark.parametrize(
    ("best", "kept"), [(0, 2), (1, 4), (2, 6)], ids=["the first checkpoint", "one between", "the last one"]
)
def test_a_stage_ends_with_the_weights_of_its_best_checkpoint_wherever_it_stands(best: int, kept: int, run: Run):
    policy = Counting(lambda weights, _: "right" if weights // 2 == best else "wrong")
    reinforced(run, policy, selection="best_reward")
    assert policy.weights == kept


def test_the_checkpoint_that_is_best_on_the_dev_split_is_kept_though_another_is_best_in_training(
    run: Run, tmp_path: Path
):
    held_out = {problem.id for problem in PROBLEMS[3:]}
    right = {2: held_out, 4: {problem.id for problem in PROBLEMS[:3]}}  # the weights of checkpoints
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


def test_an_epoch_of_imitation_learns_from_every_conversation_once_and_the_next_in_another_order(run: Run):
    policy = Counting()
    stage = Imitate(
        name="imitation",
        num_conversations=len(PROBLEMS),
        choose=lambda episodes, _: list(episodes),
        advantages=lambda _: (0.0, 1.0),
    )
    trained(run, policy, [stage], "training.sft.batch_size=4", "training.sft.num_epochs=2")
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
    budget = ["training.sft.samples_per_problem=3", "training.sft.batch_size=2", "training.sft.num_epochs=1"]
    config = compose_spec(["method=star", "training=paper", *budget]).experiment.training
    trained(run, policy, method.stages(cast(Task, Riddles(PROBLEMS)), config), *budget)
    # Both attempts at the six problems, in each of the iterations.
    sampled_from = [sampled.weights for sampled in policy.requests]
    assert sampled_from == 12 * [0] + 12 * [3] + 12 * [6 if continued else 3]
    assert [weights for weights, _ in policy.updates] == (list(range(9)) if continued else 3 * [0, 1, 2])


def test_stages_of_one_name_and_starts_from_no_earlier_stage_are_refused():
    def imitate(name: str, start_from: str) -> Imitate:
        return Imitate(
            name=name,
            num_conversations=1,
            choose=lambda episodes, _: episodes,
            advantages=lambda _: (0.0, 1.0),
            start_from=start_from,
        )

    check_stages([imitate("a", "base"), imitate("b", "a")])
    with pytest.raises(ValueError, match="two stages are called 'a'"):
        check_stages([imitate("a", "base"), imitate("a", "base")])
    with pytest.raises(ValueError, match="starts from 'b', which is no stage before it"):
        check_stages([imitate("a", "b"), imitate("b", "base")])


def counted(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> tuple[RunSpec, Counting]:
    """A run whose model is a counting policy, right at every other request."""
    spec = scripted(folder, *overrides)
    gold = {problem.id: problem.gold for split in ("train", "test") for problem in spec.experiment.task.problems(split)}
    form = "Final Answer: The final answer is ${}$. I hope it is correct."
    policy = Counting(lambda _, request: form.format(gold[request.problem_id] if request.seed % 2 else "no number"))
    monkeypatch.setattr(type(spec.experiment.model), "build", lambda *_: policy)
    return spec, policy


def test_an_evaluation_added_later_measures_the_trained_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    overrides = ["method=multi_turn_rl", "training.rl.selection=last"]
    spec, policy = counted(tmp_path, monkeypatch, *overrides)
    conduct(spec)
    assert policy.weights == 4
    later, fresh = counted(tmp_path, monkeypatch, *overrides, "evaluation=[greedy,ten_attempts]")
    conduct(later)
    assert find_runs(tmp_path)[0].evaluations() == ("greedy", "ten_attempts")
    assert not fresh.updates
    assert {sampled.weights for sampled in fresh.requests} == {4}


@pytest.mark.parametrize("method", ["multi_turn_rl", "star_plus"])
def test_another_seed_trains_on_other_samples_in_another_order_and_the_same_seed_on_the_same(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen = []
    for folder, seed in (("one", 0), ("again", 0), ("other", 1)):
        spec, policy = counted(tmp_path / folder, monkeypatch, f"method={method}", f"seed={seed}", "task.num_train=12")
        conduct(spec)
        requests = [each.request for each in policy.requests if each.request.problem_id in train_ids(spec)]
        seen.append(({request.seed for request in requests}, policy.problems_of_updates()))
    (samples, order), again, (other_samples, other_order) = seen
    assert (samples, order) == again
    assert len(samples) > 10
    assert samples.isdisjoint(other_samples)
    assert order != other_order


def train_ids(spec: RunSpec) -> set[str]:
    return {problem.id for problem in spec.experiment.task.problems("train")}
