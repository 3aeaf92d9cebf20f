"""What training and evaluation ask of the model, under which settings and seeds, and what it tells whoever watches."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.episode import Completion, Episode, Problem, Request, SamplingParams, TrainingSample
from bench.evaluation import Evaluation, evaluate
from bench.launch.catalogue import compose_spec
from bench.models.interface import OnDone, UpdateStats
from bench.rollout import RolloutWorker
from bench.runs.finished import find_runs, log_of
from bench.runs.folder import Run
from bench.runs.parts import Parts
from bench.status import Work
from bench.training.advantages import per_attempt
from bench.training.run_stages import run_stages
from bench.training.stages import Imitate, Reinforce, Stage
from bench.training.trainer import Trainer
from tests.made_episodes import EqualsGold, Riddles, ask_again
from tests.test_training_loops import Counting, run

__all__ = ["run"]  # a fixture

TRAIN = [Problem(f"train{number}", "?", "right") for number in range(4)]
DEV = [Problem(f"dev{number}", "?", "right") for number in range(3)]
OF_RL, OF_SFT = SamplingParams(max_tokens=11), SamplingParams(temperature=0.5, max_tokens=22)


class Splits(Riddles):
    def problems(self, split: str) -> tuple[Problem, ...]:
        return tuple({"train": TRAIN, "dev": DEV}[split])


class Asked(Counting):
    """Right at every other request; keeps the settings of each."""

    def __init__(self) -> None:
        super().__init__(lambda _, request: "right" if request.seed % 2 else "wrong")
        self.asked: list[tuple[Request, SamplingParams]] = []

    def generate(
        self, requests: Sequence[Request], sampling: SamplingParams, on_done: OnDone | None = None
    ) -> list[Completion]:
        self.asked += [(request, sampling) for request in requests]
        return super().generate(requests, sampling, on_done)


class Heard(list[tuple[str, int, int, Work | None]]):
    """A listener."""

    def __call__(self, phase: str, done: int, total: int, work: Work | None) -> None:
        self.append((phase, done, total, work))

    def expect(self, planned: Mapping[tuple[Work, str], int]) -> None:
        self.planned = dict(planned)


def trained(run: Run, stages: Sequence[Stage], *overrides: str, seed: int = 0) -> tuple[Asked, RolloutWorker]:
    """Steps of two samples of two problems, batches of four, a checkpoint every two."""
    sizes = ["training.rl.problems_per_step=2", "training.rl.group_size=2", "training.sft.batch_size=4"]
    sizes += ["training.rl.checkpoint_every=2", "training.sft.probe_problems=2", "training.sft.probe_every=0"]
    config = compose_spec(["method=score", "training=paper", *sizes, *overrides]).experiment.training
    config.rl.sampling, config.sft.sampling = OF_RL, OF_SFT
    policy, rollouts = Asked(), RolloutWorker(Splits(TRAIN), EqualsGold(), seed=seed)
    run_stages(stages, Trainer(policy, rollouts, run, config, ask_again))
    return policy, rollouts


def reinforce(*, num_steps: int = 4, prefilled_fraction: float = 0.0, num_attempts: int = 2) -> Reinforce:
    return Reinforce(
        name="rl",
        num_steps=num_steps,
        reward=per_attempt(tuple),
        kl_coefs=(0.0,),
        prefilled_fraction=prefilled_fraction,
        num_attempts=num_attempts,
    )


def every(episodes: Sequence[Episode], seed: int) -> Sequence[Episode]:  # noqa: ARG001  all are chosen
    return episodes


def imitate(*, probes: bool = False, name: str = "sft") -> Imitate:
    return Imitate(
        name=name, num_conversations=8, choose=every, advantages=lambda _: (0.0, 1.0), probes_corrections=probes
    )


def test_a_stage_of_reinforcement_tells_its_steps_and_one_of_imitation_its_conversations_and_then_its_updates(run: Run):
    run.tracker.listener = heard = Heard()
    trained(run, [reinforce(num_steps=3), imitate()], "training.rl.selection=last", "training.sft.num_epochs=1")
    assert heard == [
        *(("rl", done, 3, Work.step) for done in range(4)),
        ("sft", 0, 8, Work.sample),
        ("sft", 8, 8, Work.sample),
        *(("sft", done, 2, Work.learn) for done in range(3)),
    ]
    assert heard.planned == {(Work.step, "rl"): 12, (Work.sample, "sft"): 8, (Work.learn, "sft"): 8}


def test_every_kind_of_training_samples_under_its_own_settings_and_the_dev_split_greedily(run: Run):
    policy, _ = trained(
        run, [reinforce(), imitate(probes=True)], "training.rl.selection=best_dev", "training.sft.probe_every=1"
    )
    settings = Counter((request.problem_id[:-1], str(sampling)) for request, sampling in policy.asked)
    greedy = SamplingParams(temperature=0, max_tokens=OF_RL.max_tokens)
    assert {(kind, sampling) for kind, sampling in settings} == {
        ("train", str(OF_RL)),
        ("train", str(OF_SFT)),
        ("dev", str(greedy)),
        ("dev", str(OF_SFT)),  # the probe's
    }
    assert settings["train", str(OF_RL)] == 4 * 4 * 2  # steps, conversations, attempts
    assert settings["dev", str(greedy)] == 2 * 3 * 2  # checkpoints, problems, attempts


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_no_two_replies_of_a_training_are_drawn_with_the_same_random_numbers(fraction: float, run: Run):
    stages = [reinforce(prefilled_fraction=fraction), imitate(), imitate(name="again")]
    policy, _ = trained(run, stages, "training.rl.selection=last")
    assert len(policy.asked) > 60
    assert max(Counter(request.seed for request, _ in policy.asked).values()) == 1


def test_the_dev_split_is_asked_the_same_way_at_every_checkpoint(run: Run):
    policy, _ = trained(run, [reinforce(num_steps=6)], "training.rl.selection=best_dev")
    seeds = [request.seed for request, _ in policy.asked if request.problem_id.startswith("dev")]
    assert len(seeds) == 3 * 6
    assert seeds[:6] == seeds[6:12] == seeds[12:]


def test_a_probe_asks_the_same_way_each_time_and_on_the_first_attempts_that_the_base_model_made(run: Run):
    policy, rollouts = trained(run, [imitate(probes=True)], "training.sft.probe_every=1", "training.sft.num_epochs=1")
    own, tries = rollouts.usage.sampled_attempts, Counter(request.seed for request, _ in policy.asked)
    # The collection's 8 conversations; first attempts of 2 + 2 problems, of which the training problems' are those of
    # the collection's first conversations; and before and after each of 2 updates: 2 + 2 second attempts, 2 + 2 own.
    assert own == 8 * 2
    assert len(policy.asked) == own + 4 + 3 * (2 + 2 + 2 * 2)
    firsts = [request for request, _ in policy.asked if request.turn == 0]
    collected = {(request.problem_id, request.seed) for request in firsts[4 : 4 + 8] if request.sample == 0}
    assert {(request.problem_id, request.seed) for request in firsts[:2]} <= collected
    # Second attempts on the dev split have one seed each, whoever made the first.
    assert Counter(tries.values()) == {1: own - 2 + 2, 2: 2, 3: 2 + 2, 6: 2}


@pytest.mark.parametrize("num_attempts", [1, 2, 3])
def test_a_stage_trains_on_as_many_attempts_as_it_says(num_attempts: int, run: Run):
    policy, rollouts = trained(run, [reinforce(num_steps=1, num_attempts=num_attempts)], "training.rl.selection=last")
    assert {len(sample.episode.attempts) for _, samples in policy.updates for sample in samples} == {num_attempts}
    assert rollouts.usage.sampled_attempts == 4 * num_attempts


def test_the_mean_reward_that_a_checkpoint_is_judged_by_is_of_the_steps_since_the_one_before(run: Run, tmp_path: Path):
    policy = trained(run, [reinforce(num_steps=4)], "training.rl.selection=best_reward")[0]
    means = [sum(sum(sample.episode.rewards) for sample in samples) / len(samples) for _, samples in policy.updates]
    (found,) = find_runs(tmp_path)
    assert log_of(found)["selection/mean_reward"].dropna().tolist() == pytest.approx(
        [(means[0] + means[1]) / 2, (means[2] + means[3]) / 2]
    )


def test_which_problems_are_sampled_once_more_depends_on_the_runs_seed_and_the_stage(run: Run):
    def asked_more(name: str, seed: int) -> frozenset[str]:
        stage = replace(imitate(name=name), num_conversations=6)
        policy, _ = trained(run, [stage], "training.sft.num_epochs=1", seed=seed)
        counts = Counter(request.problem_id for request, _ in policy.asked if request.turn == 0)
        assert counts.total() == 6
        return frozenset(problem for problem, count in counts.items() if count == 2)

    chosen = [[asked_more(f"{name}{seed}", seed) for seed in range(6)] for name in ("one", "other")]
    assert all(len(set(by_seed)) > 1 for by_seed in chosen)
    assert chosen[0] != chosen[1]


def test_an_evaluation_tells_its_problems_part_by_part_and_samples_under_its_own_settings(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.evaluation._PROBLEMS_AT_ONCE", 3)
    run.tracker.listener = heard = Heard()
    policy, rollouts = Asked(), RolloutWorker(Splits(TRAIN), EqualsGold(), seed=0)
    evaluation = Evaluation(split="train", num_attempts=3, num_samples=2, sampling=OF_SFT)

    def measured(made_from: str) -> Parts:
        return evaluate(
            run,
            "sampled",
            evaluation,
            rollouts,
            policy,
            seed_key="evaluation/sampled",
            next_turn=ask_again,
            made_from={"weights": made_from},
        )

    parts = measured("first")
    assert heard == [("sampled", done, 4, Work.evaluate) for done in (0, 3, 4)]
    assert len(policy.asked) == 4 * 2 * 3
    assert all(sampling == OF_SFT for _, sampling in policy.asked)
    assert max(Counter(request.seed for request, _ in policy.asked).values()) == 1
    assert sum(cost.sampled_tokens for cost in parts.costs) == sum(
        len("right" if request.seed % 2 else "wrong") for request, _ in policy.asked
    )
    assert rollouts.usage.sampled_tokens == 0  # it costs nothing of a training's budget
    measured("first")  # is there already
    assert len(policy.asked) == 4 * 2 * 3
    assert heard[3:] == heard[:3]
    measured("other")
    assert len(policy.asked) == 2 * 4 * 2 * 3
    assert [request for request, _ in policy.asked[:24]] == [request for request, _ in policy.asked[24:]]


def test_steps_that_teach_nothing_are_reported_once_under_the_names_of_run_and_stage(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told: list[str] = []
    monkeypatch.setattr(run.tracker, "alert", lambda title, _: told.append(title))
    trained(
        run,
        [replace(reinforce(num_steps=3), reward=lambda episode: (1.0,) * len(episode.replies))],
        "training.rl.selection=last",
    )
    (found,) = find_runs(tmp_path)
    assert ["no_signal" in alerts for alerts in log_of(found)["alerts"]] == [True] * 3
    assert [title for title in told if "no_signal" in title] == [f"{run.key} rl: no_signal"]


@pytest.mark.parametrize(("fraction", "of_all"), [(0.0, 0), (1.0, 16)])
def test_prefilled_first_attempts_are_sampled_once_before_training_for_every_sample_of_a_problem(
    fraction: float, of_all: int, run: Run
):
    policy, _ = trained(run, [reinforce(prefilled_fraction=fraction)], "training.rl.selection=last")
    prefilled = [sample.episode.num_prefilled for _, samples in policy.updates for sample in samples]
    assert (len(prefilled), sum(prefilled)) == (16, of_all)
    firsts = [sampled.weights for sampled in policy.requests if sampled.request.turn == 0]
    assert firsts == ([0] * 8 if fraction else [weights for weights in range(4) for _ in range(4)])


def test_a_sampler_that_drifts_from_the_learner_is_reported_against_the_stages_first_step(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    update = Asked.update

    def drifting(policy: Asked, samples: Sequence[TrainingSample]) -> UpdateStats:
        stats = update(policy, samples)
        return replace(stats, logprob_diff={"t1": 0.01 * 4 ** (policy.weights - 1)})

    monkeypatch.setattr(Asked, "update", drifting)
    trained(run, [reinforce(num_steps=4)], "training.rl.selection=last")
    (found,) = find_runs(tmp_path)
    assert ["mismatch@t1" in alerts for alerts in log_of(found)["alerts"]] == [False, False, True, True]
