"""Conversations on disk between their sampling and their imitation."""

from __future__ import annotations

import ast
import gzip
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.episode import (
    Attempt,
    Completion,
    Episode,
    Grade,
    Problem,
    Reflection,
    SamplingParams,
    UnitTests,
    Verdict,
)
from bench.launch.catalogue import compose_spec
from bench.models.scripted import Scripted
from bench.rollout import RolloutWorker
from bench.runs.folder import Run, RunKey
from bench.training import collection as collection_module
from bench.training.collection import Collection, collect
from bench.training.episode_file import read_episode, write_episodes
from bench.training.stages import Imitate
from bench.training.trainer import Trainer
from tests.conftest import ROOT
from tests.made_episodes import EqualsGold, Riddles, ask_again, episode

texts = st.text(max_size=9)
numbers = st.floats(allow_nan=False)
ids = st.integers(0, 2**63 - 1)
completions = st.builds(
    Completion,
    text=texts,
    token_ids=st.lists(ids, max_size=5).map(tuple),
    logprobs=st.lists(numbers, max_size=5).map(tuple),
    truncated=st.booleans(),
    recorded=st.none() | st.booleans(),
    stop=texts,
)
lines = st.lists(texts, max_size=3).map(tuple)
tests_of_programs = st.builds(UnitTests, asserts=lines, imports=lines, check=texts, setup=texts)
verdicts = st.builds(Verdict, st.sampled_from(Grade), answer=st.none() | texts, failure=texts, seconds=numbers)
episodes = st.builds(
    Episode,
    problem=st.builds(Problem, texts, texts, texts, level=texts, tests=st.none() | tests_of_programs),
    sample=st.integers(0),
    token_ids=st.lists(ids, max_size=9).map(tuple),
    spans=st.lists(st.tuples(ids, ids), max_size=3).map(tuple),
    replies=st.lists(
        st.builds(Attempt, completions, verdicts) | st.builds(Reflection, completions, kind=texts), max_size=5
    ).map(tuple),
    num_prefilled=st.integers(0, 3),
)


@given(st.lists(episodes, max_size=4))
def test_episodes_come_back_from_a_file_equal_in_every_type_and_bit(
    tmp_path_factory: pytest.TempPathFactory, written: list[Episode]
):
    path = tmp_path_factory.mktemp("chunk") / "chunk"
    lengths = write_episodes(path, written)
    offsets = [sum(lengths[:place]) for place in range(len(lengths))]
    read = [read_episode(path, offset=start, length=size) for start, size in zip(offsets, lengths, strict=True)]
    assert read == written
    assert repr(read) == repr(written)  # tuples stay tuples, 1.0 no 1, −0.0 no 0.0, and a grade is a Grade
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == len(written)


def test_the_same_conversations_are_the_same_bytes_whenever_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for second in (1, 2):
        monkeypatch.setattr(time, "time", lambda: 1e9 + second)  # noqa: B023  called at once
        write_episodes(tmp_path / str(second), [episode((0, 1)), episode((1, 1))])
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_log_probability_that_is_no_number_stays_one(tmp_path: Path):
    (first,) = episode([1]).attempts
    completion = Completion("", (1, 2), (math.nan, -math.inf), truncated=False)
    written = Episode(Problem("p", "", ""), 0, (1, 2), ((0, 2),), (Attempt(completion, first.verdict),))
    lengths = write_episodes(tmp_path / "chunk", [written])
    found = read_episode(tmp_path / "chunk", offset=0, length=lengths[0]).attempts[0].completion.logprobs
    assert math.isnan(found[0])
    assert found[1] == -math.inf


def test_nothing_that_the_project_reads_from_disk_could_execute_code():
    executing = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
    loading = {"read_pickle", "to_pickle"}
    for path in (ROOT / "bench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not executing & {name.partition(".")[0] for name in imported}, f"{path}: {imported}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in loading, f"{path}, line {node.lineno}"
            if isinstance(node, ast.Call):
                keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert keywords.get("allow_pickle", "False") == "False", f"{path}, line {node.lineno}"
                assert keywords.get("trust_remote_code", "False") == "False", f"{path}, line {node.lineno}"
                if ast.unparse(node.func) == "torch.load":
                    assert keywords.get("weights_only") == "True", f"{path}, line {node.lineno}"


PROBLEMS = [Problem(f"p{number}", f"question {number}", "right") for number in range(5)]


def collected(
    folder: Path, *, temperature: float = 1.0, num_samples: int = 2, task: Riddles | None = None
) -> Collection:
    with Run.lock(RunKey("method", "riddles", "scripted", "main", 0), folder, {}) as run:
        config = compose_spec(["training=paper"]).experiment.training
        config.sft.sampling = SamplingParams(temperature=temperature, max_tokens=100)
        rollouts = RolloutWorker(task or Riddles(PROBLEMS), EqualsGold(), seed=0)
        stage = Imitate(
            name="collecting",
            num_conversations=num_samples * len(PROBLEMS),
            choose=lambda episodes, _: episodes,
            advantages=lambda _: (1.0, 1.0),
        )
        return collect(
            Trainer(Scripted(["right", "wrong", "worse"]), rollouts, run, config, next_turn=ask_again), stage
        )


def count_sampled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sampled: list[str] = []
    rollout = RolloutWorker.rollout

    def counted(self: RolloutWorker, sampler: Scripted, problems: Sequence[Problem], **named: object) -> list[Episode]:
        sampled.extend(problem.id for problem in problems)
        return rollout(self, sampler, problems, **named)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(RolloutWorker, "rollout", counted)
    return sampled


def test_what_was_collected_is_read_back_by_index_and_by_slice_over_all_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = list(collected(tmp_path / "whole"))
    monkeypatch.setattr(collection_module, "CONVERSATIONS_AT_ONCE", 4)  # two problems a chunk, the last chunk has one
    parts = collected(tmp_path / "parts")
    assert [(episode.problem.id, episode.sample) for episode in parts] == [(p.id, k) for p in PROBLEMS for k in (0, 1)]
    assert list(parts) == whole
    assert [parts[place] for place in range(-10, 10)] == whole + whole
    assert parts[3:8:2] == whole[3:8:2]
    with pytest.raises(IndexError):
        parts[10]


def test_chunks_that_are_there_are_not_sampled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(collection_module, "CONVERSATIONS_AT_ONCE", 4)
    first = list(collected(tmp_path))
    sampled = count_sampled(monkeypatch)
    (tmp_path / "runs/method/riddles/scripted/main/seed0/collected/collecting/2-4.json").unlink()
    assert list(collected(tmp_path)) == first
    assert sampled == ["p2", "p3"]


def test_chunks_that_were_collected_under_other_settings_are_sampled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sampled = count_sampled(monkeypatch)
    others = Riddles([Problem(problem.id, problem.question, "wrong") for problem in PROBLEMS])
    stopped = Riddles(PROBLEMS, stop=["!"])
    settings = [{}, {"temperature": 0.5}, {"num_samples": 3}, {"task": others}, {"task": stopped}]
    for number, setting in enumerate(settings, start=1):
        assert len(collected(tmp_path, **setting)) == len(PROBLEMS) * setting.get("num_samples", 2)
        assert len(sampled) == number * len(PROBLEMS), setting
    collected(tmp_path, **settings[-1])
    assert len(sampled) == len(settings) * len(PROBLEMS)


def test_a_chunk_is_text_that_zcat_shows(tmp_path: Path):
    collected(tmp_path)
    (path,) = tmp_path.rglob("*.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert [json.loads(line)["problem"]["id"] for line in lines] == [p.id for p in PROBLEMS for _ in range(2)]
