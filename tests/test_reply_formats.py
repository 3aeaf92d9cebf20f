"""One program in every format of a reply: the program that is meant is the one that is read."""

import pytest

from bench.episode import UnitTests
from bench.grading.code_extraction import assemble, extract_program
from tests.reply_formats import BODIES, REPLIES, Answer, Reply

DOUBLE = UnitTests(asserts=("assert double(2) == 4",))
ADD = UnitTests(
    check="def check(candidate):\n    assert candidate(2, 3) == 5\n",
    entry_point="add",
    preamble='def add(a, b):\n    """Add two numbers."""\n',
)


def result(reply: str, tests: UnitTests, call: str) -> object:
    code = extract_program(reply, tests)
    assert code is not None
    namespace: dict[str, object] = {"__name__": "solution"}
    exec(assemble(tests, code), namespace)
    return eval(call, namespace)


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_whole_function_is_read_in_every_format(reply: Reply) -> None:
    answer = Answer(
        "double",
        "Write a function that doubles. Your code should pass these tests:\n\nassert double(2) == 4",
        code="import math\n\ndef double(x):\n    result = math.prod([2, x])\n    return result",
        other="def double(x):\n    return 'the other program'",
    )
    assert result(reply(answer), DOUBLE, "double(4)") == 8


@pytest.mark.parametrize("reply", BODIES.values(), ids=BODIES)
def test_a_bare_body_is_read_in_every_format(reply: Reply) -> None:
    body = "    total = a\n    total += b\n    return total"
    answer = Answer("add", f"Complete this.\n\n{ADD.preamble}", code=body, other="    return 'the other program'")
    assert result(reply(answer), ADD, "add(2, 3)") == 5


@pytest.mark.parametrize(
    ("reply", "given"),
    [
        ("def double(x):\n    return '[DONE]' if x else ''\n[DONE]", "[DONE]"),
        ('def double(x):\n    """Print\n    [DONE]\n    """\n    return 8\n[DONE]\nand so on', 8),
        ("NEW, DONE = 0, 1\ndef double(x):\n    states = [DONE]\n    return states\n[DONE]", [1]),
        ("def double(x):\n    # say [DONE] when it is doubled\n    return 8\n[DONE]", 8),
        ("I'll end with [DONE].\n\ndef double(x):\n    return 8\n[DONE]", 8),
        ("def double(x):\n    return 8\n\ndouble = memo = double\n[DONE]", 8),
    ],
    ids=["in a string", "in a docstring", "a name in a list", "in a comment", "announced", "a function bound again"],
)
def test_what_only_looks_like_a_marker_or_a_demonstration_stays(reply: str, given: object) -> None:
    assert result(reply, DOUBLE, "double(4)") == given


def test_a_program_that_does_not_parse_is_closed_by_its_marker_too() -> None:
    reply = "def double(x:\n    return 2 * x\n[DONE]\n\n[BEGIN]\ndef double(x):\n    return 2 * x\n[DONE]"
    assert extract_program(reply, DOUBLE) == "def double(x:\n    return 2 * x"
