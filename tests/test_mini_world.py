"""The miniature `math`: its problems, its author, its tokenizer and its committed base model."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from bench.mini import math_world as world
from bench.mini import pretrain

PROMPTS = pretrain.Prompts.load(pretrain.TASK)
FRESH = pretrain.build_tokenizer(PROMPTS)

levels = st.sampled_from(list(world.LEVEL_SHARES))
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def committed() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(pretrain.CHECKPOINT)


def ids_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def written(level: int, seed: int, num: int = 8) -> tuple[world.Exercises, world.Solutions, world.Solutions]:
    rng = np.random.default_rng(seed)
    lab = world.world()
    exercises = lab.tables.pose(rng, level, num)
    first = lab.author.attempt(rng, exercises)
    return exercises, first, lab.author.attempt_again(rng, exercises, first)


def right(exercises: world.Exercises, solutions: world.Solutions) -> np.ndarray:
    golds = [world.world().tables.solution(key) for key in exercises.keys]
    return solutions.answers == golds


def level_1_attempts(**faults: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """400 one-step problems, an author with these faults: right at first? right again? another answer?"""
    defaults = {"unsure_share": 0, "doubt_share": 0, "slips": 0, "repeating": 0, "trusting": 0, "minding": 0}
    lab = world.world(replace(world.Faults(), **(defaults | faults)))
    rng = np.random.default_rng(0)
    exercises = lab.tables.pose(rng, 1, 400)
    first = lab.author.attempt(rng, exercises)
    second = lab.author.attempt_again(rng, exercises, first)
    return right(exercises, first), right(exercises, second), first.answers != second.answers


def test_no_problem_stands_in_two_splits_or_twice_in_one():
    questions = [problem.question for split in world.SPLIT_SIZES for problem in world.problems(split)]
    assert len(questions) == sum(world.SPLIT_SIZES.values())
    assert len(set(questions)) == len(questions)


def test_a_gold_put_into_the_problem_gives_the_number_asked_for():
    outputs_FV = world.world().tables.outputs_FV
    for split in world.SPLIT_SIZES:
        for key, problem in zip(world.split_keys()[split], world.problems(split), strict=True):
            value = int(problem.gold)
            for function in reversed(key[:-1]):
                value = outputs_FV[function, value]
            assert value == key[-1]
            assert int(problem.level) == len(key) - 1 == problem.question.count("f_{")


def test_ids_are_stable_and_carry_the_split():
    assert [problem.id for problem in world.problems("test")[:2]] == ["math/mini/test/0000", "math/mini/test/0001"]


def test_every_process_draws_the_same_problems():
    program = (
        "import hashlib; from bench.mini import math_world as world;"
        "print(hashlib.sha256(repr([world.problems(s) for s in world.SPLIT_SIZES]).encode()).hexdigest())"
    )
    here = hashlib.sha256(repr([world.problems(split) for split in world.SPLIT_SIZES]).encode()).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=pretrain.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here


def test_a_good_part_of_the_entries_that_test_problems_need_is_in_no_training_problem():
    def entries(split: str) -> set[tuple[int, int]]:
        needed = set()
        for *functions, value in world.split_keys()[split]:
            for function in functions:
                needed.add((function, value))
                value = world.world().tables.inputs_FV[function, value]
        return needed

    untrained = len(entries("test") - entries("train")) / len(entries("test"))
    assert 0.2 < untrained < 0.7


@given(level=levels, seed=seeds)
def test_a_check_is_true_even_where_the_guess_is_wrong(level: int, seed: int):
    exercises, *attempts = written(level, seed)
    for solutions in attempts:
        shown_NK = world.world().tables.outputs_FV[exercises.functions_NK, solutions.guesses_NK]
        assert (shown_NK == solutions.checks_NK).all()


@given(level=levels, seed=seeds)
def test_a_wrong_answer_shows_in_a_failed_check(level: int, seed: int):
    exercises, *attempts = written(level, seed)
    for solutions in attempts:
        for text, is_right in zip(solutions.texts(exercises), right(exercises, solutions), strict=True):
            assert is_right or world.FAILED in text


def test_an_author_without_faults_is_always_right():
    first, second, _ = level_1_attempts()
    assert first.all()
    assert second.all()


def test_doubts_break_right_answers_and_never_the_first_attempt():
    first, second, _ = level_1_attempts(doubt_share=1, doubt_first=0, doubt_second=(1, 1))
    assert first.all()
    assert not second.any()


def test_being_unsure_costs_both_attempts_alike():
    first, second, _ = level_1_attempts(unsure_share=1, unsure_first=(0.5, 0.5), unsure_second=(0.5, 0.5))
    assert 0.4 < first.mean() < 0.6
    assert 0.4 < second.mean() < 0.6


def test_who_trusts_keeps_what_passed_and_who_minds_corrects_what_failed():
    unsure = {"unsure_share": 1, "unsure_first": (0.5, 0.5), "unsure_second": (0.5, 0.5)}
    first, second, changed = level_1_attempts(**unsure, trusting=1)
    assert not changed[first].any()
    assert 0.3 < changed[~first].mean() < 0.7
    first, second, changed = level_1_attempts(**unsure, minding=1)
    assert second[~first].all()
    assert 0.3 < changed[first].mean() < 0.7


def test_a_repeated_attempt_repeats_every_step():
    *_, changed = level_1_attempts(unsure_share=1, repeating=1)
    assert not changed.any()


def test_the_paper_s_prompts_are_one_word_each():
    question = world.problems("dev")[0].question
    opening = ids_of(FRESH, PROMPTS.opening + question)
    assert opening[1:] == ids_of(FRESH, question)
    assert len(ids_of(FRESH, PROMPTS.correction)) == 1


@given(level=levels, seed=seeds)
def test_decoding_gives_back_exactly_what_was_encoded(level: int, seed: int):
    exercises, *attempts = written(level, seed)
    texts = [PROMPTS.opening + world.question(key) for key in exercises.keys]
    for text in [*texts, *(text for solutions in attempts for text in solutions.texts(exercises))]:
        ids = ids_of(FRESH, text)
        assert FRESH.unk_token_id not in ids
        assert FRESH.decode(ids) == text


@pytest.mark.parametrize(
    "text",
    [
        "What is $2+2$?",
        "Find $x$ if $f_{3}(x) = 120$.",
        "Find $x$ if $f_{999}(x) = 12$.",
        "Compute $\\sin 0$.",
        "é",
    ],
)
def test_text_from_outside_the_world_is_recognised_as_unknown(text: str):
    assert FRESH.unk_token_id in ids_of(FRESH, text)


def test_a_conversation_is_its_first_turn_then_the_answer_then_the_bridge(committed: PreTrainedTokenizerFast):
    (exercises, first, second), end = written(3, seed=0), committed.eos_token_id
    question, replies = world.question(exercises.keys[0]), [s.texts(exercises)[0] for s in (first, second)]
    said = [PROMPTS.opening + question, replies[0], PROMPTS.correction, replies[1]]
    chat = [{"role": role, "content": text} for role, text in zip(pretrain.ROLES, said, strict=True)]
    turns = [
        committed.apply_chat_template(chat[:length], add_generation_prompt=length != 4, return_dict=False)
        for length in (1, 3, 4)
    ]
    answers = [[*ids_of(committed, reply), end] for reply in replies]
    bridge = turns[1][len(turns[0]) + len(answers[0]) :]
    assert turns[1] == [*turns[0], *answers[0], *bridge]
    assert turns[2] == [*turns[1], *answers[1]]
    assert len(bridge) == 4
    assert len(turns[2]) <= 50
    ids_BT, answers_BT = pretrain.batch(committed, [chat])
    assert ids_BT[0].tolist() == turns[2]
    assert ids_BT[answers_BT].tolist() == [*answers[0], *answers[1]]


def test_padding_is_not_the_end_of_a_turn(committed: PreTrainedTokenizerFast):
    assert [committed.pad_token, committed.eos_token] == [pretrain.PAD, pretrain.END]
    assert pretrain.PAD != pretrain.END


def test_the_committed_tokenizer_is_the_one_the_script_builds(committed: PreTrainedTokenizerFast):
    assert committed.get_vocab() == FRESH.get_vocab()
    assert committed.chat_template == FRESH.chat_template


def test_the_committed_checkpoint_is_small_and_untied():
    files = [file for file in pretrain.CHECKPOINT.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 2_000_000
    assert json.loads((pretrain.CHECKPOINT / "config.json").read_text())["tie_word_embeddings"] is False


def test_no_conversation_for_pretraining_poses_a_held_out_problem():
    chats = pretrain.conversations(np.random.default_rng(0), world.world(), PROMPTS, 2000)
    asked = {chat[0]["content"].removeprefix(PROMPTS.opening) for chat in chats}
    assert len(chats) > 1800
    assert not asked & {problem.question for split in ("dev", "test") for problem in world.problems(split)}


def test_pretraining_gives_the_same_weights_twice():
    def weights() -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = pretrain.build_model(FRESH)
        pretrain.pretrain(model, FRESH, PROMPTS, pretrain.Pretraining(steps=2, conversations=16))
        return list(model.parameters())

    assert all(torch.equal(one, other) for one, other in zip(weights(), weights(), strict=True))


def test_the_base_model_is_right_half_the_time_and_worse_when_asked_again(committed: PreTrainedTokenizerFast):
    """Greedy, on the frozen test split."""
    model = LlamaForCausalLM.from_pretrained(pretrain.CHECKPOINT)
    problems = world.problems("test")
    chats = [[{"role": "user", "content": PROMPTS.opening + problem.question}] for problem in problems]
    accuracies = []
    for _ in range(2):
        texts = cast("list[str]", committed.apply_chat_template(chats, add_generation_prompt=True, tokenize=False))
        inputs = committed(texts, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            whole = cast(Any, model).generate(**inputs, do_sample=False, max_new_tokens=24)
        replies = committed.batch_decode(whole[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        finals = [f"{world.FINAL}{problem.gold}{world.END}" for problem in problems]
        accuracies.append(100 * np.mean([reply.endswith(final) for reply, final in zip(replies, finals, strict=True)]))
        for chat, reply in zip(chats, replies, strict=True):
            chat += [{"role": "assistant", "content": reply}, {"role": "user", "content": PROMPTS.correction}]
    first, second = accuracies
    assert 45 <= first <= 65
    assert -20 <= second - first <= -5
