"""Every command that a message, a help text or a docstring of this code names is one that works."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from bench import report
from bench.grading.__main__ import _parse
from tests.commands import plans_of
from tests.conftest import ROOT

# What stands for a value that the code fills in when it speaks; a name that is missing here fails the test.
FILLED = {
    "line": "seed=0,1,2",
    "option": " --results elsewhere",
    "report": " --evaluation sampled",
    "self.key.method": "base",
    "self.task.name": "math",
    "task.name": "math",
}
COMMAND = re.compile(r"python (?:-m )?bench[/.](?:run\.py|report\.py|grading(?!:))[^`;\n]*")


def texts(path: Path) -> list[str]:
    """Every string of a Python file, with the values of f-strings filled in; of another file, all of it."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [source]
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(_spoken(part) for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            found.append(node.value)
    return found


def _spoken(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    name = ast.unparse(part.value)
    return FILLED.get(name, f"<{name}>")


FILES = sorted(
    [*(ROOT / "bench").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml"), *(ROOT / "notebooks").glob("*.ipynb")]
)
COMMANDS = sorted(
    {
        (str(path.relative_to(ROOT)), re.split(r"  +|,? or | lists ", match.group())[0].strip())
        for path in FILES
        for text in texts(path)
        for match in COMMAND.finditer(text)
    }
)
SYNOPSIS = "python bench/run.py [-m] [<group>=<choice> ...] [<key>=<value> ...]"


def test_the_commands_are_found():
    named = {path for path, _ in COMMANDS}
    assert {
        "bench/launch/command_line.py",
        "bench/launch/announce.py",
        "bench/report.py",
        "conf/experiment.yaml",
    } <= named


@pytest.mark.parametrize(("path", "command"), [each for each in COMMANDS if each[1] != SYNOPSIS])
def test_a_command_that_is_named_somewhere_is_one_that_parses(path: str, command: str):
    assert "<" not in command, f"{path} fills in a value that FILLED does not know"
    words = shlex.split(command)
    if words[1] == "bench/run.py":
        assert words[2:] == ["--help"] or plans_of(command.replace(" --dry-run", ""))
    elif words[1] == "bench/report.py":
        report.parse(words[2:])
    elif words[3:]:  # without them it is the program's name, before what it complains of
        assert _parse(words[3:]).kind
