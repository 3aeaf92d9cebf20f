"""Code out of chat text: fences, prose, bare continuations, and replies that hold no code."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.episode import UnitTests
from bench.grading.programs.extraction import assemble, extract_program, fenced_blocks
from tests.extracted import ADD, DOUBLE, result


@pytest.mark.parametrize(
    "reply",
    [
        "    return a + b",
        "\treturn a + b",
        "  return a + b",
        "return a + b",
        "    total = a + b\n    return total\n",
        "total = a + b\n    return total",
        "for _ in range(1):\n    a += b\nreturn a",
        "    return a + b\n\nThis adds the two numbers.",
        "    return a + b\n\n\nprint(add(1, 2))\nassert add(1, 1) == 3",
        "def add(a, b):\n    return a + b",
        "```python\ndef add(a, b):\n    return a + b\n```",
        "```\n    return a + b\n```",
        "~~~py\ndef add(a, b):\n    return a + b\n~~~",
        "Sure!\n\n```Python\ndef add(a, b):\n    return a + b\n```\nIt is simple. Sorry if not.",
        "1. So:\n   ```python\n   def add(a, b):\n       return a + b\n   ```",
        "Sure, here it is:\n\ndef add(a, b):\n    return a + b\n\nHope that helps!",
        "[BEGIN]\ndef add(a, b):\n    return a + b\n[DONE]",
        "```python\ndef add(a, b):\n    return a + b",
        "def add(a, b):\r\n    return a + b\r\n",
        "from __future__ import annotations\ndef add(a: Number, b: Number):\n    return a + b",
        "add = lambda a, b: a + b",
        "    def inner(x):\n        return x + b\n    return inner(a)",
        "    def add_all(*numbers):\n        return sum(numbers)\n    add = add_all(a, b)\n    return add",
    ],
)
def test_every_usual_form_of_a_reply_gives_the_function(reply: str) -> None:
    assert result(reply, ADD, "add(2, 3)") == 5


@pytest.mark.parametrize(
    "reply", ["", "  \n ", "I cannot do this.", "yes", "The answer is 5.", "```bash\nls\n```\nno code"]
)
def test_a_reply_without_code_has_no_program(reply: str) -> None:
    assert extract_program(reply, ADD) is None
    assert extract_program(reply, DOUBLE) is None


@pytest.mark.parametrize("reply", ["def double(x:\n    return", "```python\ndef double(x) return 2\n```"])
def test_code_with_a_syntax_error_is_kept_for_the_compiler_to_refuse(reply: str) -> None:
    code = extract_program(reply, DOUBLE)
    assert code is not None
    assert "def double" in code
    with pytest.raises(SyntaxError):
        compile(assemble(DOUBLE, code), "<program>", "exec")


def test_the_last_block_that_defines_the_function_is_taken() -> None:
    reply = (
        "First I wrote\n```python\ndef double(x):\n    return x\n```\nbut it should be\n"
        "```python\ndef double(x):\n    return 2 * x\n```\nCall it so:\n```python\nprint(triple(4))\n```\n"
    )
    assert result(reply, DOUBLE, "double(4)") == 8


def test_an_earlier_block_comes_along_only_if_the_chosen_one_uses_it() -> None:
    helper = "```python\nimport operator\n\ndef twice(x):\n    return operator.mul(2, x)\n```\nand\n"
    unused = "```python\ndef unused():\n    pass\n```\nand\n"
    reply = unused + helper + "```python\ndef double(x):\n    return twice(x)\n```"
    assert result(reply, DOUBLE, "double(4)") == 8
    assert "unused" not in (extract_program(reply, DOUBLE) or "")


def test_setup_runs_after_the_solution_and_imports_before_it() -> None:
    tests = UnitTests(asserts=("assert f(tree) == 3",), imports=("import math",), setup="tree = Node(3)")
    program = assemble(tests, "class Node:\n    def __init__(self, v): self.v = math.floor(v)\ndef f(n): return n.v")
    namespace: dict[str, object] = {}
    exec(program, namespace)
    assert eval("f(tree)", namespace) == 3


def test_demonstrations_are_left_out_and_other_statements_are_kept() -> None:
    function = "LIMIT = 3\ndef double(x):\n    assert x < LIMIT\n    return 2 * x\n"
    extracted = extract_program(function + "assert double(1) == 3\nprint(double(9))\nLIMIT = 9", DOUBLE) or ""
    assert [type(node).__name__ for node in ast.parse(extracted).body] == ["Assign", "FunctionDef", "Assign"]


def test_a_function_that_shadows_a_builtin_is_found() -> None:
    tests = UnitTests(asserts=("assert sum(10, 15) == 6",))
    reply = "Use:\n```python\ndef sum(a, b):\n    return 6\n```\nor\n```python\nnumbers = [1]\n```"
    assert result(reply, tests, "sum(10, 15)") == 6


def test_an_unclosed_fence_reaches_to_the_end_and_other_languages_are_skipped() -> None:
    assert fenced_blocks("a\n```json\n{}\n```\n```py\nx = 1\n````\n```\ny = 2") == ["x = 1", "y = 2"]


def test_published_extraction_cases_keep_every_definition_that_is_needed(shared_data: Path) -> None:
    """evalplus' sanitizer also drops what the entry point does not reach and the second of two equal names."""
    lines = (shared_data / "graders" / "code_extraction_cases.jsonl").read_text().splitlines()
    for case in map(json.loads, lines):
        extracted = extract_program(case["input"], UnitTests(entry_point=case["entry_point"] or "")) or ""
        ours, theirs = (
            [ast.dump(node) for node in ast.parse(source).body] for source in (extracted, case["expected_output"])
        )
        assert set(theirs) <= set(ours), case["test"]
        assert not any(node.startswith("Assert") for node in ours), case["test"]
        if case["test"] in {"test_code_extract", "test_inline_fn"}:
            assert ours == theirs


@settings(deadline=None)
@given(st.text(max_size=300) | st.text("`~\n def()x:return=1 [BEGINDO]\"'#\\\t", max_size=300))
def test_extraction_of_any_text_ends_with_code_or_none(text: str) -> None:
    for tests in (ADD, DOUBLE):
        code = extract_program(text, tests)
        assert code is None or code.strip()
