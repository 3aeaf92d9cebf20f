"""The example in one file does what the harness does: its gradient, its budget, its prompts."""

import re
import subprocess
import sys
from typing import cast

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from bench.episode import Attempt, Completion, Episode, Grade, Verdict
from bench.launch.catalogue import compose_spec
from bench.mini import math_world
from bench.models.engine import TransformersEngine
from bench.models.interface import KLEstimator
from bench.models.loading import LoadReference
from bench.models.policy import TransformersPolicy
from bench.models.renderer import TemplateKind, make_renderer
from bench.training.config import Selection
from bench.training.reinforce import training_samples
from bench.training.stages import Reinforce
from examples import score_one_file as example
from tests.conftest import ROOT

FILE = ROOT / "examples" / "score_one_file.py"
SPEC = compose_spec(["method=score", "model=mini", "tracking=none"])
TRAINING = SPEC.experiment.training
HARNESS_STAGES = dict(zip(example.STAGES, SPEC.method.stages(SPEC.task, TRAINING), strict=True))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(example.CHECKPOINT)


@pytest.fixture
def policy(tokenizer) -> TransformersPolicy:
    """The miniature's model in float64, moved away from its reference so that they diverge."""
    load = LoadReference(str(example.CHECKPOINT), dtype="float64", device="cpu", attention="sdpa")
    model = load()
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.2 * weights.std() * torch.randn_like(weights)
    renderer = make_renderer(tokenizer, TemplateKind.auto, stop_ids=frozenset({tokenizer.eos_token_id}))
    engine = TransformersEngine(
        stop_ids=renderer.stop_ids, pad_id=tokenizer.pad_token_id, batch_tokens=65_536, decode=tokenizer.decode
    )
    policy = TransformersPolicy(model, tokenizer, renderer, load, engine, train_batch_tokens=16_384)
    policy.begin(TRAINING.rl.optimizer, num_updates=1, kl_estimator=KLEstimator.exact)
    return policy


def sampled(model, tokenizer, generation: GenerationConfig = example.SAMPLED):
    """Problems, one entry per conversation, and the example's attempts at them."""
    problems = [each for each in math_world.problems("train")[:4] for _ in range(example.GROUP_SIZE)]
    torch.manual_seed(1)
    return problems, example.converse(model, tokenizer, problems, generation)


def as_episodes(problems: list[math_world.Problem], attempts: list[example.Attempt]) -> list[Episode]:
    episodes = []
    for row, problem in enumerate(problems):
        spans, replies, conversation = [], [], ()
        for attempt in attempts:
            conversation = tuple(attempt.ids_BL[row][attempt.mask_BL[row] == 1].tolist())
            start = len(conversation) - int(attempt.mask_BT[row].sum())
            spans.append((start, len(conversation)))
            ids = conversation[start:]
            completion = Completion("", ids, (0.0,) * len(ids), truncated=False)
            replies.append(Attempt(completion, Verdict(Grade.CORRECT if attempt.rewards_B[row] else Grade.WRONG)))
        episodes.append(Episode(problem, row % example.GROUP_SIZE, conversation, tuple(spans), tuple(replies)))
    return episodes


def gradient(model) -> torch.Tensor:
    """Of all weights, taken away from them."""
    flat = torch.cat([weights.grad.flatten() for weights in model.parameters()])
    model.zero_grad()
    return flat


@pytest.mark.parametrize("stage", list(example.STAGES))
def test_the_examples_gradient_is_the_harnesss(policy: TransformersPolicy, tokenizer, stage: str):
    problems, attempts = sampled(policy.model, tokenizer)
    for attempt in attempts:  # where attempts at a problem differ in length, some positions have fewer of them
        lengths_PG = attempt.mask_BT.sum(1).unflatten(0, (-1, example.GROUP_SIZE))
        assert (lengths_PG.amax(1) > lengths_PG.amin(1)).any()
    attempts = [a._replace(rewards_B=torch.randint(2, (len(problems),)).double()) for a in attempts]
    harness_stage = cast(Reinforce, HARNESS_STAGES[stage])
    samples = training_samples(as_episodes(problems, attempts), harness_stage, group_size=example.GROUP_SIZE)
    stats = policy.backward(samples)
    assert min(stats.kl.values()) > 0.01
    expected = gradient(policy.model)

    loss, reward = example.stage_loss(policy.model, policy._base(), attempts, stage)
    loss.backward()
    # Llama's normalisation computes in float32, whatever the weights are.
    assert (gradient(policy.model) - expected).norm() < 1e-6 * expected.norm()
    assert loss.item() == pytest.approx(stats.loss, rel=1e-6)
    earned = [sum(harness_stage.reward(sample.episode)) for sample in samples]
    assert reward == pytest.approx(sum(earned) / len(earned), rel=1e-6)


def test_the_examples_conversations_are_token_for_token_what_the_harness_would_play(
    policy: TransformersPolicy, tokenizer
):
    short = GenerationConfig(do_sample=True, top_k=0, max_new_tokens=14)  # so that some attempts do not end their turn
    problems, attempts = sampled(policy.model, tokenizer, short)
    endings = set()
    for problem, episode in zip(problems, as_episodes(problems, attempts), strict=True):
        (first_start, first_stop), (second_start, _) = episode.spans
        assert episode.token_ids[:first_start] == policy.prompt_ids(SPEC.task.prompt(problem))
        turn_ended = episode.token_ids[first_stop - 1] == tokenizer.eos_token_id
        bridge = policy.bridge(SPEC.task.correction, turn_ended=turn_ended)
        assert episode.token_ids[first_stop:second_start] == bridge
        endings.add(turn_ended)
    assert endings == {True, False}


def test_the_examples_grades_are_the_harnesss(tokenizer):
    model = AutoModelForCausalLM.from_pretrained(example.CHECKPOINT)
    problems, attempts = sampled(model, tokenizer)
    with SPEC.task.verifier(SPEC.experiment.grading) as verifier:
        for attempt in attempts:
            texts = [
                tokenizer.decode(ids_T[mask_T == 1], skip_special_tokens=True)
                for ids_T, mask_T in zip(attempt.ids_BL[:, -attempt.mask_BT.shape[1] :], attempt.mask_BT, strict=True)
            ]
            verdicts = [verifier.submit(problem, text) for problem, text in zip(problems, texts, strict=True)]
            expected = [verdict.result().grade is Grade.CORRECT for verdict in verdicts]
            assert attempt.rewards_B.tolist() == expected
            assert len(set(expected)) == 2


def test_the_examples_budget_is_the_miniatures():
    rl, optimizer = TRAINING.rl, TRAINING.rl.optimizer
    assert (TRAINING.alpha, TRAINING.beta1, TRAINING.beta2) == (example.ALPHA, example.BETA1, example.BETA2)
    assert (rl.num_steps, TRAINING.stage1_fraction) == (example.NUM_STEPS, example.STAGE1_FRACTION)
    assert (rl.problems_per_step, rl.group_size) == (example.PROBLEMS_PER_STEP, example.GROUP_SIZE)
    assert (example.CHECKPOINT_EVERY, rl.selection) == (rl.checkpoint_every, Selection.best_reward)
    assert (optimizer.learning_rate, optimizer.max_grad_norm) == (example.LEARNING_RATE, example.MAX_GRAD_NORM)
    assert tuple(optimizer.betas) == example.BETAS
    assert (optimizer.schedule.name, optimizer.warmup_updates, optimizer.weight_decay) == ("cosine", 0, 0)
    assert (example.SAMPLED.do_sample, example.GREEDY.do_sample) == (True, False)
    assert (example.SAMPLED.top_k, example.SAMPLED.top_p, example.SAMPLED.temperature) == (0, None, None)  # as it is
    assert example.SAMPLED.max_new_tokens == example.GREEDY.max_new_tokens == rl.sampling.max_tokens


def test_the_example_has_at_most_150_lines():
    assert len(FILE.read_text().splitlines()) <= 150


def test_the_example_takes_only_the_generated_problems_from_the_benchmark():
    imported = re.findall(r"^(?:from|import) (\S+)", FILE.read_text(), re.MULTILINE)
    assert {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names} == {
        "bench.mini", "torch", "transformers",
    }  # fmt: skip


def test_the_example_trains_both_stages_and_prints_the_five_metrics_before_and_after():
    run = subprocess.run(
        [sys.executable, str(FILE), "--steps", "3"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    before, *steps, after = run.stdout.splitlines()
    for line, name in ((before, "before:"), (after, "after:")):
        assert line.startswith(name)
        assert re.findall(r"(\S+) −?-?\d+\.\d", line) == ["Accuracy@t1", "Accuracy@t2", "Δ", "Δ^i→c", "Δ^c→i"]
    assert [line.partition(":")[0] for line in steps] == ["Stage I, step 2 of 2", "Stage II, step 1 of 1"]
    assert before.split(":")[1] != after.split(":")[1]
