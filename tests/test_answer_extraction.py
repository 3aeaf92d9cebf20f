"""Where in an attempt the answer is found."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.grading.answers.extraction import extract_answer, extract_answer_line
from bench.grading.answers.predictions import stated_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{5}.", "5"),
        (r"so \boxed{\frac{1}{2}} or so", r"\frac{1}{2}"),
        (r"\boxed{1} and later \boxed{2}", "2"),
        (r"\fbox{7}", "7"),
        (r"\boxed 2", "2"),
        (r"$\boxed 2$.", "2"),
        (r"\(\boxed 2\)", "2"),
        (r"\boxed {3}", "3"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"a stray } and { and \boxed{4}", "4"),
        (r"\boxed{x = \boxed{3}}", "3"),
        (r"\boxed{8} and then it breaks off: \boxed{\frac{1}{2}", "8"),
    ],
)
def test_the_last_balanced_box_is_the_answer(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Final Answer: The final answer is $7$. I hope it is correct.", "$7$"),
        ("Final Answer: The final answer is 7. I hope it is correct.", "7"),
        ("Final Answer: The final answer is $7$.I hope it is correct. <|im_start|>user", "$7$"),
        ("**Final Answer**: The final answer is even. I hope it is correct.", "even"),
        ("The final answer is even. I hope it is correct.", "even"),
        ("the final answer is: 7.5. Thank you", "7.5"),
        ("The final answer is $1.5 \\text{ m. or so}$.\nBye", "$1.5 \\text{ m. or so}$"),
        ("Final Answer: The final answer is $3$. I hope it is correct.\n" * 2 + "No, the final answer is $4$.", "$4$"),
    ],
)
def test_the_closing_sentence_of_the_paper_is_the_answer(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1}. Final Answer: The final answer is $2$. I hope it is correct.", "$2$"),
        (r"Final Answer: The final answer is $2$. I hope it is correct. Wait: \boxed{3}", "3"),
        (r"Final Answer: The final answer is $x = \boxed{3}$. I hope it is correct.", "3"),
    ],
)
def test_of_a_box_and_a_sentence_the_later_wins(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is 5.",
        "A: 5",
        r"\boxed{}",
        r"\boxed{ }",
        r"\boxed",
        r"\boxedness{5}",
        r"\boxed{5",
        r"\boxed{4}, I mean \boxed{}",
        "Final Answer: The final answer is . I hope it is correct.",
    ],
)
def test_an_attempt_without_an_answer_has_none(text):
    assert extract_answer(text) is None


def test_talk_about_the_final_answer_states_none():
    text = r"\boxed{5}. I checked it again, and the final answer is correct."
    assert extract_answer(text) == "5"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("2+1 = <<2+1=3>>3\nA: 3", "3"), ("so 3\n#### 1,234", "1,234"), (r"\boxed{4}", "4"), ("A: 3\nA: 4", "4")],
)
def test_gsm8k_answers_stand_on_a_line_of_their_own(text, answer):
    assert extract_answer_line(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        (r"The distance is $125$ miles.", "125"),
        (r"\[ 9 \] is the answer", "9"),
        (r"\(\boxed{1}\) and \(\boxed{-2}\).", "1, -2"),
        (r"$\boxed{1}$, then $\boxed{2}$", "2"),
        ("it is not 10 but 1,000.99 in the end", "1,000.99"),
        ("5 square feet", "5 square feet"),
        (r"\boxed{}", None),
        ("  ", None),
    ],
)
def test_a_prediction_may_be_an_answer_or_a_sentence_that_holds_one(text, answer):
    assert stated_answer(text) == answer


balanced = st.recursive(
    st.text("ab1 ,+-", max_size=5),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "{" + "".join(parts) + "}"),
)


@given(before=st.text("ab {}\\$.\n", max_size=30), answer=balanced, after=st.text("ab $.\n", max_size=20))
def test_whatever_stands_before_a_box_the_box_is_read(before, answer, after):
    box = r"\boxed{" + answer + "}"
    escaped = len(before) - len(before.rstrip("\\"))
    if escaped % 2 == 0:  # "\\\boxed" is a line break and the letters "boxed"
        assert extract_answer(before + box + after) == (answer.strip() or None)


HOSTILE = {
    "open braces": r"\boxed{" + "{" * 100_000,
    "closed braces": r"\boxed{" + "{" * 100_000 + "5" + "}" * 100_000 + "}",
    "nested boxes": r"\boxed{" * 20_000 + "5" + "}" * 20_000,
    "open boxes": r"\boxed{" * 20_000,
    "unfinished sentences": "the final answer is " * 20_000,
    "sentences with spaces": ("the final answer is" + " " * 50) * 5_000,
    "announcements": "final answer " * 20_000,
    "dollars": "$" * 100_000,
    "open formulas": r"\[" * 20_000 + "x",
    "open parentheses": r"\(" * 20_000 + "x",
    "backslashes": "\\" * 100_000,
    "digits": "1" * 100_000 + "x",
    "commas": "1," * 50_000,
    "answer lines": "A:\t" * 50_000,
    "letters": "a" * 100_000 + "(",
    "texts": r"\text{" * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("extract", [extract_answer, extract_answer_line, stated_answer])
def test_extraction_takes_linear_time(name, extract):
    """Seconds at worst, where a quadratic pattern takes minutes: a bound that no slow machine breaks."""
    started = time.process_time()
    extract(HOSTILE[name])
    assert time.process_time() - started < 10
