"""Unit tests out of the files that HumanEval, MBPP and their relatives are published as."""

from __future__ import annotations

import ast
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from bench.episode import UnitTests

Kind = Literal["humaneval", "mbpp"]
SUFFIXES = (".jsonl", ".jsonl.gz", ".json")
PREFIXES = {"humaneval": "HumanEval", "mbpp": "Mbpp"}
ID_COLUMNS = ("task_id", "problem_id")


class Suite(dict[str, UnitTests]):
    """Unit tests by task id. "HumanEval/0", "Python/0", "Mbpp/2", "2" and 2 all find their task."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind: Kind = kind

    def __missing__(self, key: object) -> UnitTests:
        normal = task_id(self.kind, key)
        if not super().__contains__(normal):
            raise KeyError(f"there are no unit tests for task {key!r}; this file holds {len(self)} {self.kind} tasks")
        return self[normal]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(task_id(self.kind, key))


def task_id(kind: Kind, key: object) -> str:
    """The one spelling of an id that is published as an int, "HumanEval/0", "Python/0" or "Mbpp/2"."""
    return f"{PREFIXES[kind]}/{str(key).rpartition('/')[2]}"


def unix_lines(text: str) -> str:
    """`text` with "\\n" line ends; 972 of MBPP's 974 programs have "\\r\\n"."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def humaneval_tests(row: dict[str, Any]) -> UnitTests:
    """The tests of a row with `prompt`, `test` and `entry_point`: HumanEval, HumanEvalFix, MBPP in HumanEval's form.

    Some of these files end the test with a call of `check`; the judge makes that call itself, so it is dropped.
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


def load_unit_tests(kind: Kind, path: str | Path) -> Suite:
    """The unit tests in a .jsonl, .jsonl.gz or .json file, or in all such files of a folder.

    A task that several files of a folder hold (the full and the sanitized MBPP differ in wording) is taken from the
    first by name. Raises `FileNotFoundError` when there is nothing to read and `ValueError`, with file and line, for a
    bad row or for two rows of a file that give one task different tests.
    """
    read = {"humaneval": humaneval_tests, "mbpp": mbpp_tests}
    if kind not in read:
        raise ValueError(f"there are unit tests of kind {' and '.join(read)}, not {kind!r}")
    suite = Suite(kind)
    for file in _files(Path(path)):
        found = Suite(kind)
        for number, row in _rows(file):
            try:
                name = next((row[column] for column in ID_COLUMNS if row.get(column) is not None), None)
                if name is None:
                    raise ValueError(f"has none of the columns {', '.join(ID_COLUMNS)}")
                tests = read[kind](row)
                if found.setdefault(task_id(kind, name), tests) != tests:
                    raise ValueError(f"task {name} stands twice in this file, with different tests")
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from error
        suite |= {key: tests for key, tests in found.items() if key not in suite}
    return suite


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"there is no file or folder {path}; give the published {' / '.join(SUFFIXES)} file")
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    if not files:
        raise FileNotFoundError(f"the folder {path} holds no {' / '.join(SUFFIXES)} file")
    return files


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its line number (for a .json list, its place in the list, from 1)."""
    if file.suffix == ".json":
        try:
            table = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file}: not JSON ({error})") from error
        if not isinstance(table, list):
            raise ValueError(f"{file}: a list of rows is expected, not {type(table).__name__}")
        yield from _checked(file, enumerate(table, start=1))
        return
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8") as lines:
        yield from _checked(file, _parsed(file, lines))


def _parsed(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: not JSON ({error})") from error


def _checked(file: Path, numbered: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in numbered:
        if not isinstance(row, dict):
            raise ValueError(f"{file}, line {number}: a row is an object with named columns, not {type(row).__name__}")
        yield number, row


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
