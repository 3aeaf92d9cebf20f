"""One program in every format of a reply: the program that is meant is the one that is read."""

from collections.abc import Iterator
from re import Match, Pattern

import pytest

from bench.episode import Grade, Problem, UnitTests
from bench.grading.programs import reply_format
from bench.grading.programs.extraction import extract_program
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.verifier import Grading
from tests.extracted import ADD, DOUBLE, result
from tests.reply_formats import BODIES, REPLIES, WRITTEN, Answer, Reply


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


def test_a_quoted_first_attempt_is_passed_over_however_often_the_reply_begins() -> None:
    reply = "import math\n[BEGIN]\nOnce more.\n[BEGIN]\ndef double(x):\n    return 2 * x\n[DONE]"
    assert extract_program(reply, DOUBLE) == "def double(x):\n    return 2 * x"


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    with ProgramVerifier(Grading(workers=1, program_seconds=2, memory_mb=512)) as verifier:
        yield verifier


RIGHT, WRONG = "def double(x):\n    return 2 * x", "def double(x):\n    return 3 * x"


@pytest.mark.parametrize(("code", "other", "grade"), [(WRONG, RIGHT, Grade.WRONG), (RIGHT, WRONG, Grade.CORRECT)])
def test_a_verdict_is_on_the_replys_own_program(verifier: ProgramVerifier, code: str, other: str, grade: Grade) -> None:
    """Of right and wrong programs alike; every format here also shows, or is followed by, the opposite one."""
    names = [f"{name}; two invented tasks" for name in WRITTEN]
    names += [name for name in REPLIES if "quoted" in name or "once more" in name or "second thoughts" in name]
    answer = Answer("double", "Write a function that doubles.", code, other)
    problem = Problem("p", "", "", tests=DOUBLE)
    verdicts = {name: verifier.submit(problem, REPLIES[name](answer)) for name in names}
    grades = {name: verdict.result().grade for name, verdict in verdicts.items()}
    assert {name: found for name, found in grades.items() if found is not grade} == {}


@pytest.mark.parametrize("name", [name for name in REPLIES if "quoted" in name])
def test_a_program_gets_no_import_from_the_attempt_that_it_replaces(name: str) -> None:
    code = "def double(x):\n    return math.prod([2, x])"
    assert (
        extract_program(REPLIES[name](Answer("double", "Double.", code, other=f"import math\n\n{code}")), DOUBLE)
        == code
    )


def test_a_program_gets_what_it_uses_from_blocks_that_define_something_else_of_the_tests() -> None:
    tests = UnitTests(asserts=("assert f(Node(3)) == 3",))
    node = "import math\n\nclass Node:\n    def __init__(self, value):\n        self.value = math.floor(value)"
    reply = f"```python\n{node}\n```\nand\n```python\ndef f(node: Node):\n    return math.ceil(node.value)\n```\n"
    assert result(reply, tests, "f(Node(3))") == 3


class _Counted:
    """A pattern that counts the characters it reads."""

    def __init__(self, pattern: Pattern[str]) -> None:
        self.pattern, self.num_read = pattern, 0

    def match(self, text: str, place: int) -> Match[str] | None:
        found = self.pattern.match(text, place)
        self.num_read += found.end() - place if found else 0
        return found


@pytest.mark.parametrize("unit", ['\\"""\n', "\\'''\n", '"\\', "'\\", '"""\\', "'a\\\n", '" \\"""'])
def test_quotes_that_are_never_closed_are_read_a_bounded_number_of_times(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {quote: _Counted(pattern) for quote, pattern in reply_format._INSIDE.items()}
    monkeypatch.setattr(reply_format, "_INSIDE", counted)
    text = unit * 500 + "[DONE]"
    list(reply_format._outside_literals(text))
    assert 0 < sum(pattern.num_read for pattern in counted.values()) <= 2 * len(text)


@pytest.mark.parametrize(
    "unit",
    [
        "[BEGIN]\ndef double(x):\n    return 2 * x\n",
        "import math\n[BEGIN]\n",
        "import math\nYou are an expert Python programmer, and here is your task[BEGIN]\n",
        "You are an expert Python programmer, and here is your task: double.\n",
        "I see. [DONE]\n",
    ],
    ids=["begin before code", "begin after code", "begin after a task", "task", "done"],
)
def test_what_stands_between_markers_is_read_a_bounded_number_of_times(unit: str) -> None:
    num_read = 0

    def holds_code(part: str) -> bool:
        nonlocal num_read
        num_read += len(part)
        return "import" in part or "def" in part

    def answers(part: str) -> bool:
        nonlocal num_read
        num_read += len(part)
        return "def" in part

    text = unit * 200 + "def double(x):\n    return 2 * x\n"
    reply_format.own_part(text, holds_code, answers)
    assert 0 < num_read <= 2 * len(text)


@pytest.mark.parametrize("opened", ['"', "'", '"""', "'''"])
def test_a_quote_that_is_never_closed_hides_no_marker(opened: str) -> None:
    (marker,) = reply_format._outside_literals(f"x = {opened}a\\{opened[0]}\n[DONE]")
    assert marker["closes"]


def test_a_functions_own_variable_is_not_a_name_that_the_program_needs() -> None:
    reply = "def double(x):\n    result = 2 * x\n    return result\n\nresult = double(int(input()))\n[DONE]"
    assert extract_program(reply, DOUBLE) == "def double(x):\n    result = 2 * x\n    return result"


@pytest.mark.parametrize("shown", ["n = numbers[0]\nadd(n, 3)", "values[0] == 5"])
def test_a_fence_that_closes_a_body_opens_none_so_the_next_ones_inside_is_no_part_of_it(shown: str) -> None:
    reply = f"    return a + b\n```\nIt is used like this:\n```\n{shown}\n```\n"
    assert result(reply, ADD, "add(2, 3)") == 5
