"""A real pretrained chat model: `python tests/pretrained/fetch.py`, then `pytest -m pretrained`."""

import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import torch

from bench.episode import Grade, Problem, Request, SamplingParams, TrainingSample, Turn
from bench.launch.catalogue import compose_spec
from bench.models.config import Precision, Transformers
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.policy import TransformersPolicy
from bench.rollout import RolloutWorker
from bench.runs.finished import find_runs, load_episodes
from bench.runs.parts import read_transcripts
from tests.conftest import ROOT
from tests.made_episodes import EqualsGold, Riddles, ask_again
from tests.pretrained.fetch import FOLDER

pytestmark = [
    pytest.mark.pretrained,
    pytest.mark.skipif(not (FOLDER / "model.safetensors").is_file(), reason=f"{FOLDER} is absent: run fetch.py"),
]


@pytest.fixture(scope="module")
def learner() -> TransformersPolicy:
    model = Transformers(path=str(FOLDER), device="cpu")
    model.check()
    return cast(TransformersPolicy, model.build(str))


def test_opening_and_bridges_are_the_rendered_conversation(learner: TransformersPolicy):
    messages, ids = [{"role": "user", "content": "What is 2 + 2?"}], learner.prompt_ids("What is 2 + 2?")
    for reply in ("It is 5.", "No, it is 4."):
        ids += (*learner.tokenizer.encode(reply, add_special_tokens=False), *learner.bridge("Sure?", turn_ended=False))
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": "Sure?"}]
    assert list(ids) == learner.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


def test_greedy_replies_are_those_of_transformers(learner: TransformersPolicy):
    requests = [
        Request(learner.prompt_ids(prompt), 0, prompt, 0, 0)
        for prompt in ("What is 2 + 2?", "Name a colour of the sky.")
    ]
    replies = learner.generate(requests, SamplingParams(temperature=0.0, max_tokens=16))
    for request, reply in zip(requests, replies, strict=True):
        prompt = torch.tensor([request.token_ids])
        theirs = learner.model.generate(  # pyright: ignore[reportCallIssue]
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=16
        )
        assert reply.token_ids == tuple(theirs[0, prompt.shape[1] :].tolist())


def test_one_update_moves_the_float32_weights_by_its_rate_lowers_the_loss_and_leaves_the_reference_alone():
    learner = cast(
        TransformersPolicy, Transformers(path=str(FOLDER), device="cpu", dtype=Precision.bfloat16).build(str)
    )
    problems = [Problem("sum", "What is 2 + 2?", "4"), Problem("sky", "Name a colour of the sky.", "Blue")]
    sampling = SamplingParams(temperature=1.0, max_tokens=12)
    rollouts = RolloutWorker(Riddles(problems), EqualsGold(), seed=0)
    episodes = rollouts.rollout(
        learner, problems, next_turn=ask_again, num_attempts=2, sampling=sampling, num_samples=2, seed_key="test"
    )
    samples = [TrainingSample(episode, advantages=(0.0, 1.0), kl_coefs=(0.1, 0.1)) for episode in episodes]
    rate = 1e-5  # less than bfloat16 tells apart at most of the weights
    learner.begin(OptimizerConfig(learning_rate=rate), num_updates=2, kl_estimator=KLEstimator.exact)
    before = {name: weight.clone() for name, weight in learner._weights().state_dict().items()}
    first, reference = learner.update(samples), dict(learner._base().named_parameters())

    for name, weight in learner._weights().state_dict().items():
        assert weight.dtype == torch.float32
        moves = (weight - before[name]).abs()
        # Not all: the vocabulary's rarest words have gradients that vanish beside Adam's eps.
        assert (moves > 0).float().mean() > 0.9, name
        assert moves.max().item() == pytest.approx(rate, rel=0.15), name  # float32 tells weights near 10 apart by 1e-6
    for name, parameter in learner.model.named_parameters():
        assert torch.equal(parameter, learner._weights().state_dict()[name].to(parameter.dtype)), name
        assert torch.equal(reference[name], before[name].to(parameter.dtype)), name
        assert reference[name].grad is None
    assert first.trained_tokens == sum(stop - start for episode in episodes for start, stop in episode.spans)
    assert first.kl == {"t1": 0, "t2": 0}
    second = learner.update(samples)
    assert second.loss < first.loss
    assert second.kl["t2"] > 0


def test_two_attempts_at_eight_problems_are_stored_as_the_model_gave_them(
    learner: TransformersPolicy, shared_data: Path, tmp_path: Path
):
    """Folders hold texts and token counts, no ids: three of the conversations are sampled again for those."""
    overrides = [
        "method=base",
        "task=math",
        "task.source=local",
        f"task.path={shared_data / 'math'}",
        "task.num_test=8",
    ]
    overrides += ["model=transformers", f"model.path={FOLDER}", "model.device=cpu", "model.max_tokens=128"]
    overrides += ["tracking=none", f"results={tmp_path}"]
    done = subprocess.run([sys.executable, "bench/run.py", *overrides], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = find_runs(tmp_path)
    manifest, rows = run.manifest("greedy"), load_episodes(tmp_path).set_index("problem_id")
    assert (manifest.num_problems, manifest.evaluation_config["num_attempts"], manifest.token_unit) == (8, 2, "tokens")
    assert manifest.sampled_tokens == rows[["tokens_1", "tokens_2"]].to_numpy().sum()
    assert (manifest.usage["updates"], len(rows)) == (0, 8)
    assert set(rows["grade_1"]) | set(rows["grade_2"]) <= set(Grade)
    stored = {row["problem_id"]: row for row in read_transcripts(run.path / "greedy" / "transcripts.jsonl.gz")}
    assert stored.keys() == set(rows.index)

    task = compose_spec(overrides).experiment.task
    again = RolloutWorker(task, EqualsGold(), seed=0).rollout(
        learner,
        task.problems("test")[:3],
        next_turn=lambda _: Turn(task.correction),
        num_attempts=2,
        sampling=SamplingParams(temperature=0, max_tokens=128),
        seed_key="evaluation/greedy",
    )
    for episode in again:
        texts = stored[episode.problem.id]["attempts"]
        for place, attempt in enumerate(episode.attempts):
            ids = attempt.completion.token_ids
            assert learner.tokenizer.decode(list(ids), skip_special_tokens=True) == texts[place]
            assert len(ids) == rows.loc[episode.problem.id, f"tokens_{place + 1}"]
            assert (len(ids) == 128) == rows.loc[episode.problem.id, f"truncated_{place + 1}"]
