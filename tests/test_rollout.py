"""Sampling conversations."""

from concurrent.futures import Future
from typing import cast

import pytest

from bench.episode import ATTEMPT, Dialogue, Problem, Reflection, SamplingParams, Turn, Verdict
from bench.methods.base import Base
from bench.methods.interface import follow_up_turns
from bench.methods.pair_sft import with_second_attempt
from bench.methods.self_refine import SelfRefine
from bench.models.policy import TransformersPolicy
from bench.models.replay import ReplaySampler, read_recording
from bench.models.scripted import Scripted
from bench.rollout import RolloutWorker, Usage, request_seed
from bench.runs.records import episode_row
from bench.tasks.interface import Task
from tests.made_episodes import EqualsGold, Riddles, ask_again

PROBLEMS = [Problem("one", "1?", "uno"), Problem("two", "2?", "dos")]
SAMPLING = SamplingParams(temperature=1.0, max_tokens=6)


def worker(seed: int = 0) -> RolloutWorker:
    return RolloutWorker(Riddles(PROBLEMS), EqualsGold(), seed=seed)


def criticise_first(dialogue: Dialogue) -> Turn:
    return Turn("Criticise.", asks_for="critique") if dialogue.kinds[-1] == ATTEMPT else Turn("Again?")


def test_the_ids_of_every_turn_are_a_prefix_of_the_next_bit_for_bit(tiny_learner: TransformersPolicy):
    once = worker().rollout(
        tiny_learner, PROBLEMS, next_turn=ask_again, num_attempts=1, sampling=SAMPLING, seed_key="x"
    )
    twice = worker().rollout(
        tiny_learner, PROBLEMS, next_turn=ask_again, num_attempts=2, sampling=SAMPLING, seed_key="x"
    )
    for short, long in zip(once, twice, strict=True):
        assert long.token_ids[: len(short.token_ids)] == short.token_ids
        for span, attempt in zip(long.spans, long.attempts, strict=True):
            assert long.token_ids[slice(*span)] == attempt.completion.token_ids


def test_between_two_attempts_stands_the_bridge_and_nothing_else(tiny_learner: TransformersPolicy):
    for episode in worker().rollout(
        tiny_learner, PROBLEMS, next_turn=ask_again, num_attempts=2, sampling=SAMPLING, seed_key="x"
    ):
        (_, end), (start, last) = episode.spans
        turn_ended = episode.attempts[0].completion.turn_ended
        assert episode.token_ids[end:start] == tiny_learner.bridge("Again?", turn_ended=turn_ended)
        assert last == len(episode.token_ids)


def test_the_bridge_ends_the_turn_of_a_reply_that_a_stop_string_ended(tiny_learner: TransformersPolicy):
    letters = [chr(code) for code in range(33, 127)]  # an untrained model says one of them soon
    asking = RolloutWorker(Riddles(PROBLEMS, stop=letters), EqualsGold(), seed=0)
    end = tiny_learner.tokenizer.eos_token_id
    episodes = asking.rollout(
        tiny_learner,
        PROBLEMS,
        next_turn=ask_again,
        num_attempts=2,
        sampling=SamplingParams(max_tokens=40),
        num_samples=4,
        seed_key="x",
    )
    stopped = [episode for episode in episodes if episode.attempts[0].completion.stop]
    assert stopped
    for episode in stopped:
        (_, last), (start, _) = episode.spans
        assert end not in episode.attempts[0].completion.token_ids
        assert episode.token_ids[last:start] == (end, *tiny_learner.bridge("Again?", turn_ended=True))
        assert not episode_row(episode)["truncated_1"]


def test_a_stop_string_ends_attempts_and_no_critique():
    asking = RolloutWorker(Riddles(PROBLEMS, stop=["[DONE]"]), EqualsGold(), seed=0)
    (episode,) = asking.rollout(
        Scripted(["uno[DONE] and more"]),
        PROBLEMS[:1],
        next_turn=criticise_first,
        num_attempts=2,
        sampling=SamplingParams(max_tokens=100),
        seed_key="x",
    )
    assert [attempt.completion.text for attempt in episode.attempts] == ["uno[DONE]"] * 2
    assert [attempt.completion.stop for attempt in episode.attempts] == ["[DONE]"] * 2
    assert episode.replies[1].completion.text == "uno[DONE] and more"


def test_an_episode_can_be_sampled_again_alone(tiny_learner: TransformersPolicy):
    together = worker().rollout(
        tiny_learner, PROBLEMS, next_turn=ask_again, num_attempts=2, sampling=SAMPLING, num_samples=3, seed_key="x"
    )
    alone = worker().rollout(
        tiny_learner, PROBLEMS[1:], next_turn=ask_again, num_attempts=2, sampling=SAMPLING, num_samples=3, seed_key="x"
    )
    assert [episode.token_ids for episode in alone] == [episode.token_ids for episode in together[3:]]


def test_runs_with_other_seeds_or_other_occasions_sample_other_conversations(tiny_learner: TransformersPolicy):
    conversations = {
        tuple(
            e.token_ids
            for e in worker(seed).rollout(
                tiny_learner, PROBLEMS, next_turn=ask_again, num_attempts=1, sampling=SAMPLING, seed_key=label
            )
        )
        for seed, label in ((0, "x"), (1, "x"), (0, "y"))
    }
    assert len(conversations) == 3


def test_a_critique_is_sampled_and_kept_and_never_graded():
    episodes = worker().rollout(
        Scripted(["uno"]), PROBLEMS, next_turn=criticise_first, num_attempts=2, sampling=SAMPLING, seed_key="x"
    )
    assert [len(episode.attempts) for episode in episodes] == [2, 2]
    assert [reply.completion.text for reply in episodes[0].replies if isinstance(reply, Reflection)] == ["uno"]
    assert episodes[0].labels == ("t1", "critique1", "t2")
    assert [episode.rewards for episode in episodes] == [(1.0, 1.0), (0.0, 0.0)]


def test_self_refine_asks_for_a_critique_of_every_attempt_and_then_for_a_better_one():
    method, task = (
        SelfRefine(critique="What is wrong?", refine="Mend it."),
        cast(Task, Riddles([], correction="Again?")),
    )
    critique, better = Turn("What is wrong?", asks_for="critique"), Turn("Mend it. Again?")
    assert follow_up_turns(method, task, num_attempts=3) == (critique, better) * 2
    assert follow_up_turns(method, task, num_attempts=1) == ()
    assert follow_up_turns(Base(), task, num_attempts=3) == (Turn("Again?"),) * 2
    bare = SelfRefine(critique="?", refine="")
    assert follow_up_turns(bare, task, num_attempts=2)[1] == Turn("Again?")


def test_samples_of_a_problem_stand_side_by_side():
    episodes = worker().rollout(
        Scripted(["uno"]), PROBLEMS, next_turn=ask_again, num_attempts=1, sampling=SAMPLING, num_samples=2, seed_key="x"
    )
    assert [(e.problem.id, e.sample) for e in episodes] == [("one", 0), ("one", 1), ("two", 0), ("two", 1)]


def test_usage_counts_what_was_sampled():
    one = worker()
    episodes = one.rollout(
        Scripted(["uno"]), PROBLEMS, next_turn=ask_again, num_attempts=2, sampling=SAMPLING, num_samples=2, seed_key="x"
    )
    assert one.usage == Usage(
        sampled_episodes=4,
        sampled_attempts=8,
        sampled_tokens=4 * 2 * len("uno"),
        prompt_tokens=sum(start for episode in episodes for start, _ in episode.spans),
    )


def test_an_attempt_that_is_prefilled_is_not_counted_again():
    one = worker()
    firsts = one.rollout(
        Scripted(["uno"]), PROBLEMS, next_turn=ask_again, num_attempts=1, sampling=SAMPLING, seed_key="x"
    )
    prefilled = {(episode.problem.id, 0): episode.attempts[0] for episode in firsts}
    episodes = one.rollout(
        Scripted(["uno"]),
        PROBLEMS,
        next_turn=ask_again,
        num_attempts=2,
        sampling=SAMPLING,
        seed_key="y",
        prefilled_attempts=prefilled,
    )
    assert one.usage == Usage(
        sampled_episodes=2,
        sampled_attempts=4,
        sampled_tokens=4 * len("uno"),
        prompt_tokens=sum(start for episode in episodes for start, _ in episode.spans),
    )


def test_only_the_conversations_that_are_named_are_sampled():
    one = worker()
    only = {("one", 1), ("two", 0)}
    episodes = one.rollout(
        Scripted(["uno"]),
        PROBLEMS,
        next_turn=ask_again,
        num_attempts=1,
        sampling=SAMPLING,
        num_samples=2,
        only=only,
        seed_key="x",
    )
    assert {(episode.problem.id, episode.sample) for episode in episodes} == only
    assert one.usage.sampled_attempts == 2


def test_a_crash_of_the_grader_is_raised_and_no_grade():
    class Crashes(EqualsGold):
        def submit(self, problem: Problem, text: str) -> Future[Verdict]:  # noqa: ARG002  it always crashes
            crashed: Future[Verdict] = Future()
            crashed.set_exception(RuntimeError("the sandbox is gone"))
            return crashed

    with pytest.raises(RuntimeError, match="the sandbox is gone"):
        RolloutWorker(Riddles(PROBLEMS), Crashes(), seed=0).rollout(
            Scripted(["uno"]), PROBLEMS, next_turn=ask_again, num_attempts=1, sampling=SAMPLING, seed_key="x"
        )


def test_a_conversation_with_another_second_attempt_is_the_one_that_would_have_been_sampled(
    tiny_learner: TransformersPolicy,
):
    sampled = worker().rollout(
        tiny_learner,
        PROBLEMS,
        next_turn=ask_again,
        num_attempts=2,
        sampling=SAMPLING,
        num_samples=3,
        seed_key="x",
    )
    for episode in sampled:
        assert with_second_attempt(episode, episode.attempts[1]) == episode
        first, second = (each.attempts[0] for each in (episode, sampled[-1]))  # of another length, mostly
        paired = with_second_attempt(episode, second)
        prompt = tiny_learner.prompt_ids(episode.problem.question)
        bridge = tiny_learner.bridge("Again?", turn_ended=first.completion.turn_ended)
        assert paired.token_ids == (*prompt, *first.completion.token_ids, *bridge, *second.completion.token_ids)
        assert paired.attempts == (first, second)
        for span, attempt in zip(paired.spans, paired.attempts, strict=True):
            assert paired.token_ids[slice(*span)] == attempt.completion.token_ids


def test_seeds_are_the_same_in_every_process_and_on_every_machine():
    assert request_seed(0, "stage1/17", "math/test/1", 3, 1) == 4416122469346329462


def test_recorded_attempts_are_played_in_turn(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_text(
        '{"problem_id": "one", "attempts": ["no", "uno"]}\n{"problem_id": "two", "attempts": ["dos", ""]}\n'
    )
    episodes = worker().rollout(
        ReplaySampler(path, str), PROBLEMS, next_turn=ask_again, num_attempts=2, sampling=SAMPLING, seed_key="x"
    )
    assert [episode.rewards for episode in episodes] == [(0.0, 1.0), (1.0, 0.0)]


def test_a_recording_that_lacks_problems_or_attempts_is_refused(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_text('{"problem_id": "one", "attempts": ["no", "uno"]}\n')
    recording = ReplaySampler(path, str)
    with pytest.raises(ValueError, match=r"no attempts for 1 of 2 problems, first two"):
        recording.check_can_sample({"one": "", "two": ""}, follow_up_turns=["Again?"], max_tokens=1, key="")
    with pytest.raises(ValueError, match="fewer than 3 attempts for one"):
        recording.check_can_sample({"one": ""}, follow_up_turns=["Again?"] * 2, max_tokens=1, key="")


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"attempts": ["a"]}',
        '{"problem_id": "x", "attempts": "a"}',
        '{"problem_id": "one", "attempts": []}',
    ],
)
def test_a_bad_line_of_a_recording_is_refused_by_file_and_line(tmp_path, line: str):
    path = tmp_path / "recording.jsonl"
    path.write_text(f'{{"problem_id": "one", "attempts": ["a"]}}\n{line}\n')
    with pytest.raises(ValueError, match=r"recording\.jsonl, line 2"):
        read_recording(path, str)


def test_a_recordings_own_labels_are_kept_and_grade_nothing(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_text('{"problem_id": "one", "attempts": ["no", "uno"], "passed": [true, true]}\n')
    (episode,) = worker().rollout(
        ReplaySampler(path, str), PROBLEMS[:1], next_turn=ask_again, num_attempts=2, sampling=SAMPLING, seed_key="x"
    )
    assert [attempt.completion.recorded for attempt in episode.attempts] == [True, True]
    assert episode.rewards == (0.0, 1.0)
    assert [episode_row(episode)[f"recorded_{t}"] for t in (1, 2)] == [True, True]


def test_labels_that_are_not_one_per_attempt_are_refused(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_text('{"problem_id": "one", "attempts": ["no", "uno"], "passed": [true]}\n')
    with pytest.raises(ValueError, match="one per attempt"):
        read_recording(path, str)
