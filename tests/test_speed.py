"""Where the time goes: rows, the line on the terminal, grading beside sampling, and the count of operations."""

import json
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from torch.utils.flop_counter import FlopCounterMode

from bench import run
from bench.episode import Completion, Problem, Request, SamplingParams, Verdict
from bench.models.flops import update_flops
from bench.models.interface import KLEstimator, OnDone, UpdateStats
from bench.models.logprobs import compute_logprobs
from bench.models.policy import TransformersPolicy
from bench.models.scripted import Scripted
from bench.rollout import RolloutWorker
from bench.training.speed import Speed
from bench.training.trainer import Trainer
from tests.made_episodes import EqualsGold, Riddles, ask_again, episode
from tests.test_full_gpu import SMALL

SAMPLING = SamplingParams(temperature=1.0, max_tokens=8)
PROBLEMS = [Problem(name, f"What is {name}?", "!") for name in ("this", "that")]


def test_each_step_tells_its_seconds_and_rates_and_a_stage_sums_them_up_in_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert run.main([*SMALL, "jobs=1", f"results={tmp_path}"]) == 0
    (log,) = tmp_path.rglob("train.jsonl")
    row = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    phases = ("generate", "grade_work", "grade_wait", "push", "train")
    assert all(row[f"speed/{phase}_seconds"] >= 0 for phase in phases)
    assert row["speed/generate_seconds"] > 0
    assert row["speed/train_tokens_per_second"] > row["train/trained_tokens"] / row["speed/train_seconds"]
    assert row["speed/peak_memory_gib"] > 0.05
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "tokens/s" in line]
    assert all(word in line for word in ("generate", "grade", "push", "train", "TFLOP/s", "peak memory"))


def test_rates_are_amounts_over_seconds_since_the_step_before_and_in_all_at_the_end(
    capfd: pytest.CaptureFixture[str],
):
    rollouts = RolloutWorker(Riddles(PROBLEMS), EqualsGold(), seed=0)
    policy = Scripted(["!"])
    speed = Speed(cast(Trainer, SimpleNamespace(rollouts=rollouts, policy=policy)))
    speed.tell("nothing yet")
    rows = []
    for number, mfu in ((1, 0.5), (2, 0.2)):
        rollouts.times.generate += 10.0
        rollouts.times.grade_work += 3.0
        rollouts.times.grade_wait += 1.0
        policy.push_seconds += 2.0  # a part of the ten
        rollouts.usage.sampled_tokens += 160 * number
        stats = UpdateStats(
            loss=0.0,
            trained_tokens=1,
            num_tokens=100 * number,
            seconds=4.0,
            flops=number * 8e12,
            mfu=mfu,
            peak_memory_gib=7.0 - number,
        )
        rows.append(speed.step(stats))
    for number, row in enumerate(rows, 1):
        assert row == pytest.approx(
            {
                "speed/generate_seconds": 8.0,
                "speed/grade_work_seconds": 3.0,
                "speed/grade_wait_seconds": 1.0,
                "speed/push_seconds": 2.0,
                "speed/train_seconds": 4.0,
                "speed/generate_tokens_per_second": 20.0 * number,
                "speed/train_tokens_per_second": 25.0 * number,
                "speed/teraflops_per_second": 2.0 * number,
                "speed/mfu": {1: 0.5, 2: 0.2}[number],
                "speed/peak_memory_gib": 7.0 - number,
            }
        )
    speed.tell("stage")
    assert capfd.readouterr().err == (
        "stage: generate 16.0 s (30 tokens/s), grade 6.0 s beside it and 2.0 s after it, push 4.0 s, "
        "train 8.0 s (38 tokens/s, 3 TFLOP/s, MFU 35%), peak memory 6.0 GiB\n"
    )


class OneByOne(Scripted):
    """Tells of each reply as it is complete, and remembers how many had been handed in by then."""

    def __init__(self, verifier: "Counting") -> None:
        super().__init__(["!"])
        self.verifier, self.handed_in = verifier, []

    def generate(
        self, requests: Sequence[Request], sampling: SamplingParams, on_done: OnDone | None = None
    ) -> list[Completion]:
        completions = super().generate(requests, sampling)
        for place in reversed(range(len(requests))):
            assert on_done is not None
            on_done(place, completions[place])
            self.handed_in.append(self.verifier.count)
        return completions


class Counting(EqualsGold):
    count = 0

    def submit(self, problem: Problem, text: str) -> Future[Verdict]:
        self.count += 1
        return super().submit(problem, text)


def test_an_attempt_is_graded_while_others_are_still_sampled_and_once_only():
    verifier = Counting()
    sampler = OneByOne(verifier)
    rollouts = RolloutWorker(Riddles(PROBLEMS), verifier, seed=0)
    episodes = rollouts.rollout(
        sampler, PROBLEMS, next_turn=ask_again, num_attempts=2, sampling=SAMPLING, seed_key="test"
    )
    assert sampler.handed_in == [1, 2, 3, 4]
    assert verifier.count == 4
    assert [each.problem.id for each in episodes] == ["this", "that"]


def test_the_transformers_sampler_tells_of_every_reply(tiny_learner: TransformersPolicy):
    requests = [Request(tiny_learner.prompt_ids(each.question), 1, each.id, 0, 0) for each in PROBLEMS]
    told: dict[int, Completion] = {}
    completions = tiny_learner.generate(requests, SAMPLING, on_done=told.__setitem__)
    assert [told[place] for place in range(len(requests))] == completions


def test_counted_operations_are_those_that_torch_counts_but_for_what_a_causal_mask_hides(
    tiny_learner: TransformersPolicy,
):
    model = tiny_learner.model
    model.set_attn_implementation("eager")  # torch does not count in sdpa's kernel for CPUs
    episodes = [episode([0, 1], opening=30)] * 3
    lengths = [len(each.token_ids) for each in episodes]
    with FlopCounterMode(display=False) as counter:
        scores = compute_logprobs(model, None, episodes, pad_id=0, estimator=KLEstimator.exact)
        scores.logprobs_N.sum().backward()
    config = model.config.get_text_config()
    attention = 2 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    ours = update_flops(model, lengths, len(scores.logprobs_N), num_forwards=1)
    hidden = 3 * attention  # once forward, twice back
    assert counter.get_total_flops() == pytest.approx(ours + hidden, rel=0.05)
