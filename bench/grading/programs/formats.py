"""Unit tests out of the files that HumanEval, MBPP and their relatives are published as."""

import ast
from pathlib import Path
from typing import Any, Literal

from bench.data_files import ENDINGS, read_records
from bench.episode import UnitTests

Kind = Literal["humaneval", "mbpp"]
PREFIXES = {"humaneval": "HumanEval", "mbpp": "Mbpp"}
ID_COLUMNS = ("task_id", "problem_id")


def task_id(kind: Kind, key: object) -> str:
    """The one spelling of an id that is published as an int, "HumanEval/0", "Python/0" or "Mbpp/2"."""
    return f"{PREFIXES[kind]}/{str(key).rpartition('/')[2]}"


def unix_lines(text: str) -> str:
    """`text` with "\\n" line ends; 972 of MBPP's 974 programs have "\\r\\n"."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def humaneval_tests(row: dict[str, Any]) -> UnitTests:
    """The tests of a row with `prompt`, `test` and `entry_point`: HumanEval, HumanEvalFix, MBPP in HumanEval's form.

    Some of these files end the test with a call of `check`; that call is made when it is graded, so it is dropped.
    """
    prompt, test, entry_point = (_text(row, name) for name in ("prompt", "test", "entry_point"))
    return UnitTests(check=_without_calls(test), entry_point=entry_point, preamble=unix_lines(prompt))


def mbpp_tests(row: dict[str, Any]) -> UnitTests:
    """The tests of a row of the full MBPP (setup code), of the sanitized one (imports) or in HumanEval's form."""
    if "test_list" not in row and "entry_point" in row:
        return humaneval_tests(row)
    asserts = _texts(row, "test_list")
    if not asserts:
        raise ValueError("the column 'test_list' is empty, so that every program would pass; drop the row")
    return UnitTests(
        asserts=asserts,
        imports=_texts(row, "test_imports") if row.get("test_imports") else (),
        setup=unix_lines(row.get("test_setup_code") or ""),
    )


def load_unit_tests(kind: Kind, path: str | Path) -> dict[str, UnitTests]:
    """The unit tests, by `task_id`, in a file that `read_records` reads or in all such files of a folder.

    A task that several files of a folder hold (the full and the sanitized MBPP differ in wording) is taken from the
    first by name. Raises `FileNotFoundError` when there is nothing to read and `ValueError`, with file and line, for a
    bad row or for two rows of a file that give one task different tests.
    """
    parse = {"humaneval": humaneval_tests, "mbpp": mbpp_tests}[kind]
    tests_of_all: dict[str, UnitTests] = {}
    for file in _files(Path(path)):
        tests_of_file: dict[str, UnitTests] = {}
        for record in read_records(file):
            name, tests = task_id(kind, record.read(_published_id)), record.read(parse)
            if tests_of_file.setdefault(name, tests) != tests:
                raise ValueError(f"{record.place}: task {name} is a duplicate with different tests")
        tests_of_all = tests_of_file | tests_of_all
    return tests_of_all


def _published_id(row: dict[str, Any]) -> object:
    for column in ID_COLUMNS:
        if row.get(column) is not None:
            return row[column]
    raise ValueError(f"has none of the columns {', '.join(ID_COLUMNS)}")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"there is no file or folder {path}; give the published {' / '.join(ENDINGS)} file")
    files = sorted(file for file in path.iterdir() if file.name.endswith(ENDINGS))
    if not files:
        raise FileNotFoundError(f"the folder {path} holds no {' / '.join(ENDINGS)} file")
    return files


def _text(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"the column {column!r} is missing or empty; it holds text in every published file")
    return value


def _texts(row: dict[str, Any], column: str) -> tuple[str, ...]:
    values = row.get(column)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"the column {column!r} is missing or no list of texts")
    return tuple(unix_lines(value) for value in values)


def _without_calls(test: str) -> str:
    """`test` up to the bare calls (`check(f)`, `test_check()`) that some files end it with."""
    test = unix_lines(test)
    try:
        body = ast.parse(test).body
    except SyntaxError as error:
        raise ValueError(f"the column 'test' is not Python ({error})") from error
    lines = test.split("\n")
    while body and isinstance(body[-1], ast.Expr) and isinstance(body[-1].value, ast.Call):
        del lines[body.pop().lineno - 1 :]
    if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in body):
        raise ValueError("the column 'test' defines no function 'check'")
    return "\n".join(lines)
