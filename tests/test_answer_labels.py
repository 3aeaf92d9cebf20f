"""Labelled answers of other people: which labels we share, and why not the rest."""

import json
from collections import Counter

import pytest

from bench.episode import Grade, Problem
from bench.grading.answers.extraction import extract_answer, extract_answer_line
from bench.grading.answers.predictions import stated_answer
from bench.grading.answers.verifier import AnswerVerifier
from bench.grading.verifier import Grading

CHOICE = "which letter a sentence chooses is not read: no task of ours is multiple choice in prose"
ROUNDED = "0.3333 and 2.6667 are not 1/3 and 8/3: a decimal is exact unless it has six places"
CURRENCY = "a fragment of French, with a decimal comma, one dollar sign and no sentence"
GLUED = '"1orW(x)" is read as a product of letters: words are told apart by the space around them'
AFTER_FORMULA = "the sentence's last formula is taken; the number that answers comes after it, in words"

# Pairs of math_pairs.jsonl whose label we do not share, and why.
PAIRS = {
    "math-verify-0007": CURRENCY,
    "lighteval-0305": CURRENCY,
    "math-verify-0120": ROUNDED,
    "math-verify-0134": ROUNDED,
    "lighteval-0398": ROUNDED,
    "lighteval-0412": ROUNDED,
    "math-verify-0158": AFTER_FORMULA,
    "lighteval-0434": AFTER_FORMULA,
    "math-verify-0182": "disputed: x in [-2,7] and -2 <= x <= 7 say the same; the label denies it one way round",
    "math-verify-0185": "only a comma, and, or or joins two boxes to one answer, and the pluses of this gold are none",
    "math-verify-0210": GLUED,
    "lighteval-0474": GLUED,
    "math-verify-0255": "disputed: the label calls 1 - 1/e and 1 + 1/e the same",
    "lighteval-0260": CHOICE,
    "lighteval-0263": CHOICE,
    "lighteval-0264": CHOICE,
    "lighteval-0265": CHOICE,
    "lighteval-0268": CHOICE,
    "lighteval-0271": CHOICE,
    "lighteval-0272": CHOICE,
    "lighteval-0273": CHOICE,
    "hendrycks-0494": "disputed: the order of a bare list does not matter (see equivalence.py)",
}

# (gold, boxed answer) of math_qwen.jsonl whose label we do not share, and how many attempts it is on.
QWEN = {
    (r"\text{4:30 p.m.}", r"4:30 \text{ p.m.}"): 8,  # the source graded "4:30", having lost the rest of the box
    (r"10{,}000", "10000"): 1,  # the source read 10{,}000 as something else; the attempt is right
}


@pytest.fixture(scope="module")
def rows(shared_data):
    def read(name):
        return [json.loads(line) for line in (shared_data / name).read_text(encoding="utf-8").splitlines()]

    return read


def grade(rows, text, extract):
    """The verdict on `row[text]` for each row."""
    with AnswerVerifier(Grading(answer_seconds=60), extract=extract) as verifier:
        verdicts = [verifier.submit(Problem(id="", question="", gold=row["gold"]), row[text]) for row in rows]
        return [verdict.result() for verdict in verdicts]


def test_the_pairs_of_six_grader_suites_are_labelled_as_they_are_but_for_those_explained(rows):
    pairs = rows("graders/math_pairs.jsonl")
    verdicts = grade(pairs, "prediction", stated_answer)
    differing = {
        pair["id"]
        for pair, verdict in zip(pairs, verdicts, strict=True)
        if (verdict.grade is Grade.CORRECT) != pair["expected"]
    }
    assert differing == set(PAIRS)
    agreed = {pair["id"] for pair in pairs if pair.get("agree", 0) >= 3 and not pair.get("disputed")}
    assert len(agreed) == 161
    assert not differing & agreed


def test_we_share_more_of_these_labels_than_math_verify_does(rows):
    from math_verify import parse, verify

    pairs = rows("graders/math_pairs.jsonl")
    shared = sum(verify(parse(pair["gold"]), parse(pair["prediction"])) == pair["expected"] for pair in pairs)
    assert shared < len(pairs) - len(PAIRS)


def test_answers_of_qwen_are_labelled_as_they_are_but_for_nine_wrong_labels(rows):
    attempts = rows("attempts/math_qwen.jsonl")
    verdicts = grade(attempts, "attempt", extract_answer)
    differing = Counter(
        (row["gold"], verdict.answer)
        for row, verdict in zip(attempts, verdicts, strict=True)
        if (verdict.grade is Grade.CORRECT) != row["expected_correct"]
    )
    assert differing == QWEN


def test_what_the_source_of_the_qwen_labels_looked_at_is_labelled_as_it_is_but_once(rows):
    attempts = rows("attempts/math_qwen.jsonl")
    verdicts = grade(attempts, "extracted_by_source", stated_answer)
    shared = sum(
        (verdict.grade is Grade.CORRECT) == row["expected_correct"]
        for row, verdict in zip(attempts, verdicts, strict=True)
    )
    assert (shared, len(attempts)) == (367, 368)


def test_answers_to_gsm8k_are_labelled_as_they_are(rows):
    attempts = rows("attempts/gsm8k_openai.jsonl")
    verdicts = grade(attempts, "attempt", extract_answer_line)
    assert [verdict.grade is Grade.CORRECT for verdict in verdicts] == [row["expected_correct"] for row in attempts]
