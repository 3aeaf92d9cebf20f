"""The vLLM engine for real, on a CPU or a GPU: CONTRIBUTING.md has the command that installs it."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path
from typing import cast

import pandas as pd
import pytest
import torch

from bench.episode import Completion, Episode, Problem, Request, SamplingParams, TrainingSample
from bench.models.config import Precision, SamplerKind, Transformers
from bench.models.engine import StaleWeightsError
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.logprobs import compute_logprobs
from bench.models.policy import TransformersPolicy
from bench.models.vllm_engine import VllmEngine
from bench.models.vllm_options import Sleep, VllmOptions
from bench.models.vllm_weights import pushed_tensors
from bench.rollout import RolloutWorker
from bench.runs.finished import find_runs, load_episodes, log_of
from tests.conftest import ROOT
from tests.made_episodes import EqualsGold, Riddles, ask_again
from tests.pretrained.fetch import FOLDER
from tests.tiny_model import save_tiny_model

pytest.importorskip("vllm", reason="vLLM is not installed: see CONTRIBUTING.md, Tests")
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

SAMPLED = SamplingParams(temperature=1.0, max_tokens=24)
GREEDY = SamplingParams(temperature=0.0, max_tokens=24)
PUSHES = 4  # within which every tensor is read back

Build = Callable[..., TransformersPolicy]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A tiny model's policy with a vLLM engine, made once for each way that is asked for."""
    made: dict[str, TransformersPolicy] = {}

    def make(
        *,
        family: str = "llama",
        tied: bool = False,
        dtype: Precision = Precision.float32,
        sampler: SamplerKind = SamplerKind.vllm,
        **options: object,
    ) -> TransformersPolicy:
        key = repr((family, tied, dtype, sampler, options))
        if key not in made:
            # Heads of 32: the engine for CPUs has none of 8.
            folder = save_tiny_model(
                tmp_path_factory.mktemp("tiny") / "model",
                family=family,
                hidden_size=64,
                initializer_range=0.1,
                tie_word_embeddings=tied,
                context=512,
            )
            model = Transformers(
                path=str(folder),
                dtype=dtype,
                sampler=sampler,
                threads=1,
                vllm=VllmOptions(eager=True, max_replies=32, checked_within=PUSHES, **options),  # pyright: ignore[reportArgumentType]
            )
            model.check()
            made[key] = cast(TransformersPolicy, model.build(str))
        made[key].reset()
        return made[key]

    return make


def engine_of(policy: TransformersPolicy) -> VllmEngine:
    return cast(VllmEngine, policy.engine)


def requests(policy: TransformersPolicy, num: int = 6, *, stop: tuple[str, ...] = ()) -> list[Request]:
    prompts = [f"question {number} of {'x' * number}" for number in range(num)]
    return [
        Request(policy.prompt_ids(prompt), seed=2**40 + place, problem_id=prompt, sample=0, turn=0, stop=stop)
        for place, prompt in enumerate(prompts)
    ]


def episodes(policy: TransformersPolicy, *, seed_key: str = "test") -> list[Episode]:
    problems = [Problem(name, f"What is {name}?", "!") for name in ("this", "that", "the other thing")]
    rollouts = RolloutWorker(Riddles(problems), EqualsGold(), seed=0)
    return rollouts.rollout(
        policy, problems, next_turn=ask_again, num_attempts=2, sampling=SAMPLED, num_samples=3, seed_key=seed_key
    )


def as_samples(played: list[Episode]) -> list[TrainingSample]:
    return [TrainingSample(each, (1.0, -0.5) if i % 2 else (-1.0, 0.5), (0.1, 0.1)) for i, each in enumerate(played)]


def begin(policy: TransformersPolicy, *, rate: float) -> None:
    policy.begin(OptimizerConfig(learning_rate=rate), num_updates=300, kl_estimator=KLEstimator.exact)


def apart(policy: TransformersPolicy, played: list[Episode]) -> torch.Tensor:
    """|sampler − learner| of every sampled token's log-probability."""
    scored = compute_logprobs(policy.model, None, played, pad_id=0, estimator=KLEstimator.exact)
    return (scored.logprobs_N - scored.sampled_logprobs_N).abs()


@pytest.mark.parametrize(("family", "tied"), [("llama", False), ("llama", True), ("qwen2", False), ("qwen2", True)])
def test_sampled_logprobs_are_the_learners_before_and_after_updates(build: Build, family: str, tied: bool):
    policy = build(family=family, tied=tied)
    begin(policy, rate=1e-2)
    for step in range(3):
        played = episodes(policy, seed_key=f"step {step}")
        assert apart(policy, played).max() < 1e-4
        policy.update(as_samples(played))
    assert engine_of(policy).weights.num_pushes >= 3


def test_in_bfloat16_they_differ_by_its_rounding(build: Build):
    policy = build(dtype=Precision.bfloat16)
    begin(policy, rate=1e-2)
    for step in range(2):
        played = episodes(policy, seed_key=f"step {step}")
        assert apart(policy, played).mean() < 0.02
        policy.update(as_samples(played))


def test_greedy_decoding_gives_the_ids_and_the_logprobs_of_the_transformers_sampler(build: Build):
    theirs, ours = build(), build(sampler=SamplerKind.transformers)
    for one, other in zip(
        theirs.generate(requests(theirs), GREEDY), ours.generate(requests(ours), GREEDY), strict=True
    ):
        assert (one.token_ids, one.text, one.truncated) == (other.token_ids, other.text, other.truncated)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_at_another_temperature_logprobs_are_of_the_distribution_sampled_from(build: Build):
    policy = build()
    (reply,) = policy.generate(requests(policy, 1), replace(SAMPLED, temperature=2.0))
    ids = torch.tensor([[*requests(policy, 1)[0].token_ids, *reply.token_ids]])
    with torch.no_grad():
        logprobs = (policy.model(ids).logits[0, -len(reply.token_ids) - 1 : -1] / 2.0).log_softmax(dim=-1)
    expected = logprobs.gather(1, torch.tensor(reply.token_ids)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(reply.logprobs), expected, atol=1e-4, rtol=0)


def test_a_reply_follows_from_its_seed_and_not_from_its_neighbours(build: Build):
    policy = build()
    batch = requests(policy, 12)
    together = policy.generate(batch, SAMPLED)
    assert together == policy.generate(batch, SAMPLED)
    for request, completion in zip(batch[::3], together[::3], strict=True):
        (alone,) = policy.generate([request], SAMPLED)
        assert alone.token_ids == completion.token_ids
    others = policy.generate([replace(request, seed=request.seed + 1) for request in batch], SAMPLED)
    assert all(one.token_ids != other.token_ids for one, other in zip(together, others, strict=True))


def test_more_replies_than_are_sampled_at_once_come_back_in_the_order_of_their_requests(build: Build):
    policy = build()
    batch = requests(policy, 80)  # 32 at once
    many = policy.generate(batch, SAMPLED)
    assert many[70:] == policy.generate(batch[70:], SAMPLED)


def test_a_reply_ends_with_an_end_of_turn_or_at_its_length(build: Build):
    policy = build()
    replies = policy.generate(requests(policy, 40), SamplingParams(temperature=2.0, max_tokens=200))
    assert {reply.truncated for reply in replies} == {True, False}
    for reply in replies:
        ends = [place for place, token in enumerate(reply.token_ids) if token in policy.template.stop_ids]
        assert ends == ([] if reply.truncated else [len(reply.token_ids) - 1])
        assert len(reply.logprobs) == len(reply.token_ids) <= 200


def test_a_stop_string_ends_a_reply_where_it_does_in_the_transformers_sampler(build: Build):
    theirs, ours = build(), build(sampler=SamplerKind.transformers)
    sampling = replace(GREEDY, max_tokens=60)
    ended = 0
    for request, whole in zip(requests(ours, 20), ours.generate(requests(ours, 20), sampling), strict=True):
        for stop in {*re.findall(r"[!-~]{1,2}", whole.text)[1:4]}:
            asked = replace(request, stop=("never sampled", stop))
            (one,), (other,) = (policy.generate([asked], sampling) for policy in (theirs, ours))
            assert without_logprobs(one) == without_logprobs(other)
            assert one.stop == stop
            assert len(one.logprobs) == len(one.token_ids)
            ended += 1
    assert ended >= 10


def without_logprobs(completion: Completion) -> Completion:
    return replace(completion, logprobs=())


def test_a_second_attempt_takes_its_prefix_from_the_cache_and_a_push_empties_it(build: Build):
    policy = build()
    long = [replace(each, token_ids=each.token_ids[:1] + each.token_ids[1:] * 12) for each in requests(policy, 6)]
    replies = policy.generate(long, SAMPLED)
    engine = engine_of(policy)
    asked, cached = engine.prompt_tokens, engine.cached_tokens
    policy.generate(
        [
            replace(request, token_ids=request.token_ids + reply.token_ids + policy.bridge("Sure?", turn_ended=True))
            for request, reply in zip(long, replies, strict=True)
        ],
        SAMPLED,
    )
    share = (engine.cached_tokens - cached) / (engine.prompt_tokens - asked)
    assert share > 0.6
    policy.reset()
    cached = engine.cached_tokens
    policy.generate(long[:1], SAMPLED)
    assert engine.cached_tokens == cached


def test_weights_are_pushed_when_they_have_changed_and_only_then(build: Build, tmp_path: Path):
    policy = build()
    begin(policy, rate=1e-2)
    pushes = lambda: engine_of(policy).weights.num_pushes  # noqa: E731
    played = episodes(policy)
    first = pushes()
    greedy = policy.generate(requests(policy), GREEDY)
    assert pushes() == first
    policy.save(tmp_path)
    policy.update(as_samples(played))
    assert policy.generate(requests(policy), GREEDY) != greedy
    assert pushes() == first + 1
    policy.restore(tmp_path)
    assert policy.generate(requests(policy), GREEDY) == greedy
    assert pushes() == first + 2


def leave_out(policy: TransformersPolicy, left: Container[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes leave the tensors of these names as they were."""
    weights = engine_of(policy).weights
    load = weights._load
    monkeypatch.setattr(
        type(weights), "_load", lambda _, named: load({name: named[name] for name in named if name not in left})
    )


def pushes_until_caught(
    policy: TransformersPolicy, kept: str, monkeypatch: pytest.MonkeyPatch, *, rate: float
) -> tuple[int, str]:
    """How many pushes without that tensor ("": without any) it takes to stop a run, and what is said."""
    begin(policy, rate=rate)
    played = episodes(policy)
    leave_out(policy, {kept} if kept else pushed_tensors(policy.model), monkeypatch)
    for number in range(1, 2 * PUSHES):
        policy.update(as_samples(played))
        try:
            policy.generate(requests(policy, 1), SAMPLED)
        except StaleWeightsError as error:
            return number, str(error)
    return 2 * PUSHES, ""


@pytest.mark.parametrize(
    "kept",
    ["", "model.layers.1.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight", "model.embed_tokens.weight"],
    ids=lambda kept: kept or "all",
)
def test_a_push_that_leaves_a_tensor_as_it_was_is_caught_within_the_stated_number(
    build: Build, kept: str, monkeypatch: pytest.MonkeyPatch
):
    policy = build(dtype=Precision.bfloat16)
    number, said = pushes_until_caught(policy, kept, monkeypatch, rate=5e-6)
    assert number <= PUSHES
    assert f"after push {engine_of(policy).weights.num_pushes} " in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="what the engine for CPUs does")
@pytest.mark.parametrize("dtype", list(Precision))
def test_a_tied_head_that_a_push_of_the_embeddings_leaves_behind_is_caught_and_its_cure_named(
    build: Build, dtype: Precision, monkeypatch: pytest.MonkeyPatch
):
    policy = build(family="qwen2", tied=True, dtype=dtype, untie_head=False)
    number, said = pushes_until_caught(policy, "lm_head.weight", monkeypatch, rate=1e-2)
    assert number <= PUSHES
    assert "model.vllm.untie_head=true" in said


@pytest.mark.parametrize("untie", [True, False])
def test_a_tied_head_that_is_pushed_by_its_own_name_arrives_in_an_engine_that_ties_it_or_not(build: Build, untie: bool):
    policy = build(family="qwen2", tied=True, dtype=Precision.bfloat16, untie_head=untie)
    begin(policy, rate=1e-2)
    for step in range(2):
        policy.update(as_samples(episodes(policy, seed_key=f"step {step}")))
    weights = engine_of(policy).weights
    assert weights.num_pushes >= 2
    assert weights.probed < 0.05


def test_the_manifests_description_has_the_engine_and_its_flags(build: Build):
    described = build().description
    assert described["engine"].startswith("vllm 0.32")
    assert '"load_format": "dummy"' in described["engine_flags"]
    assert described["kind"] == "chat"


def test_a_deterministic_engine_gives_bit_for_bit_the_same_replies_with_other_neighbours(build: Build):
    policy = build(dtype=Precision.bfloat16, deterministic=True)
    batch = requests(policy, 10)
    together = policy.generate(batch, SAMPLED)
    engine_of(policy).weights.reset_cache()
    assert [policy.generate([request], SAMPLED)[0] for request in reversed(batch)] == together[::-1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_an_engine_that_slept_while_the_learner_learned_samples_from_the_new_weights(build: Build):
    policy = build(dtype=Precision.bfloat16, sleep=Sleep.level1)
    begin(policy, rate=1e-2)
    for step in range(3):
        played = episodes(policy, seed_key=f"step {step}")
        assert apart(policy, played).mean() < 0.02
        policy.update(as_samples(played))


@pytest.mark.skipif(
    not (FOLDER / "model.safetensors").is_file(), reason=f"{FOLDER} is absent: tests/pretrained/fetch.py"
)
@pytest.mark.parametrize("dtype", list(Precision))
def test_a_real_chat_models_logprobs_are_the_learners_at_two_attempts(dtype: Precision):
    """In bfloat16 they differ by its rounding: 0.05 nats on average, with or without a head in float32."""
    model = Transformers(path=str(FOLDER), dtype=dtype, sampler=SamplerKind.vllm)
    model.check()
    policy = cast(TransformersPolicy, model.build(str))
    played = episodes(policy)[:4]
    differences = apart(policy, played)
    if dtype is Precision.float32:
        assert differences.max() < 1e-4
    else:
        assert differences.mean() < 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden_size=64, initializer_range=0.1)


def overrides(results: Path, model: Path, *more: str) -> list[str]:
    where = [f"results={results}", "model=transformers", f"model.path={model}", "model.threads=1"]
    quick = ["training=mini", "task.num_test=4", "model.max_tokens=12", "tracking=none"]
    return [*where, *quick, "model.sampler=vllm", "model.vllm.eager=true", *more]


STEPS = ["training.rl.num_steps=4", "training.rl.problems_per_step=2", "training.rl.group_size=2"]
STEPS += ["training.rl.checkpoint_every=1"]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_prompting_methods_are_evaluated_on_the_command_line(folder: Path, tmp_path: Path):
    done = python("bench/run.py", "-m", "method=base,self_refine", *overrides(tmp_path, folder), "jobs=1")
    assert done.returncode == 0, done.stderr
    runs = find_runs(tmp_path)
    assert {run.key.method for run in runs} == {"base", "self_refine"}
    for run in runs:
        manifest = run.manifest("greedy")
        assert manifest.num_rows == 4
        assert manifest.renderer["engine"].startswith("vllm ")
        assert manifest.sampled_tokens > 0


def test_a_training_that_is_killed_and_started_again_ends_with_the_weights_of_one_that_was_not(
    folder: Path, tmp_path: Path
):
    """In float32 on one machine: the engine runs in the same process, so its schedule is that of the requests."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = python("bench/run.py", "method=score", *overrides(whole, folder, *STEPS))
    assert done.returncode == 0, done.stderr
    dies = "from tests.conduct_and_die import *; die_in('bench.models.policy', 'TransformersPolicy.update', at=3); "
    dies += f"conduct(compose_spec({['method=score', *overrides(broken, folder, *STEPS)]}))"
    assert python("-c", dies).returncode == -signal.SIGKILL
    assert not (broken / "runs/score/mini_math/tiny/main/seed0/weights").exists()
    assert python("bench/run.py", "method=score", *overrides(broken, folder, *STEPS)).returncode == 0
    one, other = (find_runs(each)[0] for each in (whole, broken))
    weights = [(run.path / "weights" / "model.safetensors").read_bytes() for run in (one, other)]
    assert weights[0] == weights[1]
    log, again = (log_of(run).filter(regex="^(?!time|speed/)") for run in (one, other))
    pd.testing.assert_frame_equal(log, again)
    apart = log.filter(like="train/logprob_diff").to_numpy()
    assert apart.shape == (4, 2)
    assert apart.max() < 1e-4
    assert load_episodes(whole).filter(like="tokens").equals(load_episodes(broken).filter(like="tokens"))
