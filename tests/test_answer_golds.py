"""The answers of MATH against themselves and against spoiled copies of themselves."""

import gzip
import json
import random
import re

import pytest

from bench.episode import Grade, Problem
from bench.grading.answers.equivalence import decide
from bench.grading.answers.extraction import extract_answer
from bench.grading.answers.normalise import normalise
from bench.grading.answers.predictions import stated_answer
from bench.grading.answers.string_match import same_string
from bench.grading.answers.verifier import AnswerVerifier
from bench.grading.verifier import Grading

NUM_GOLDS = 12_498  # of 12,500: two answers of the training set are empty
NUM_MANGLED = 200


@pytest.fixture(scope="module")
def rows(shared_data):
    rows = []
    for split in ("train", "test"):
        with gzip.open(shared_data / "math" / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    return [row for row in rows if row["answer"].strip()]


def test_every_gold_equals_itself_without_algebra(rows):
    assert len(rows) == NUM_GOLDS
    with AnswerVerifier(Grading(answer_seconds=60)) as verifier:
        for row in rows:
            verdict = verifier.submit(problem(row), rf"so \boxed{{{row['answer']}}}")
            assert verdict.done()
            assert verdict.result().grade is Grade.CORRECT, row["answer"]
        assert not verifier.workers_started


def test_every_gold_equals_itself_in_the_closing_sentence(rows):
    with AnswerVerifier(Grading(answer_seconds=60)) as verifier:
        for row in rows:
            text = f"Final Answer: The final answer is ${row['answer']}$. I hope it is correct."
            assert verifier.submit(problem(row), text).result().grade is Grade.CORRECT, row["answer"]


def test_every_gold_equals_itself_as_a_string(rows):
    assert all(same_string(row["answer"], row["answer"]) for row in rows)


def test_every_reference_solution_states_its_gold(rows):
    for row in rows:
        found = extract_answer(row["solution"])
        assert found is not None, row["unique_id"]
        assert decide(normalise(row["answer"]), normalise(found)), row["unique_id"]


def test_normalising_a_gold_twice_changes_nothing_more(rows):
    normal = {normalise(row["answer"]) for row in rows}
    assert {normalise(answer) for answer in normal} == normal


def test_a_gold_is_read_whole(rows):
    assert all(stated_answer(row["answer"]) == row["answer"].strip() for row in rows)


def test_mangled_golds_are_not_correct(rows):
    chance = random.Random(0)
    sample = chance.sample(rows, NUM_MANGLED)
    with AnswerVerifier(Grading(answer_seconds=60)) as verifier:
        mangled = [mangle(row["answer"], chance) for row in sample]
        verdicts = [
            verifier.submit(problem(row), rf"\boxed{{{answer}}}") for row, answer in zip(sample, mangled, strict=True)
        ]
        grades = [verdict.result().grade for verdict in verdicts]
    fooled = [
        (row["answer"], answer)
        for row, answer, grade in zip(sample, mangled, grades, strict=True)
        if grade == "correct"
    ]
    assert not fooled


def problem(row) -> Problem:
    return Problem(id=row["unique_id"], question="", gold=row["answer"])


def mangle(answer: str, chance: random.Random) -> str:
    """Another answer of the same shape: one digit changed, or else a 7 added, or other words."""
    digits = list(re.finditer(r"\d", answer))
    if digits:
        place = chance.choice(digits)
        other = chance.choice([digit for digit in "123456789" if digit != place.group()])
        return answer[: place.start()] + other + answer[place.end() :]
    if r"\text" in answer or answer.isalpha():
        return r"\text{quite another thing}"
    return f"{answer} + 7"
