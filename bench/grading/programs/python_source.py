"""Python text, looked at and never run: does it parse, which names does it bind, how much of it is code."""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Any

DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
MAX_LINES = 2000  # of prose and code mixed, beyond which the search for programs is given up
MAX_CUTS = 60  # errors that one run of lines may be shortened by before it counts as prose
NOT_PYTHON = (SyntaxError, ValueError, MemoryError, RecursionError)  # what compiling any text may raise
_START = re.compile(r"(def |class |async def |import |from |@|[A-Za-z_]\w*\s*(:.*)?=)")


def compile_quietly(source: str, flags: int = 0) -> Any:
    """The code object, without the warnings that Python gives about odd literals. Raises one of NOT_PYTHON."""
    with warnings.catch_warnings(action="ignore"):
        return compile(source, "<reply>", "exec", flags=flags, dont_inherit=True)


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None for what is not Python (or is built to exhaust the parser)."""
    try:
        return compile_quietly(source, ast.PyCF_ONLY_AST)
    except NOT_PYTHON:
        return None


def compiles(source: str) -> bool:
    """Whether `source` is a program; unlike parsing, this finds a `return` outside of any function."""
    try:
        return compile_quietly(source) is not None
    except NOT_PYTHON:
        return False


def parsing_prefix(source: str, above: str = "") -> str:
    """The leading lines of `source` that compile after the lines `above`: an error cuts the text above its line."""
    lines = source.split("\n")
    for _ in range(MAX_CUTS):
        try:
            compile_quietly(above + "\n".join(lines))
        except SyntaxError as error:
            place = (error.lineno or 1) - above.count("\n") - 1
            del lines[min(max(place, 0), len(lines) - 1) :]
        except NOT_PYTHON:
            return ""
        else:
            return "\n".join(lines).rstrip()
        if not lines:
            break
    return ""


def find_programs(text: str) -> Iterator[str]:
    """The programs between lines of prose: runs of lines that compile and define something."""
    lines = text.split("\n")
    end = 0
    for start, line in enumerate(lines if len(lines) <= MAX_LINES else []):
        if start < end or not _START.match(line):
            continue  # inside a run that was looked at, or no code that begins at the left margin
        run = parsing_prefix("\n".join(lines[start:]))
        end = start + run.count("\n") + 1
        tree = parse(run)
        if tree is not None and any(isinstance(node, DEFINING) for node in tree.body):
            yield run


def bound(tree: ast.AST) -> set[str]:
    """The names a module, or one statement of it, binds at its top level."""
    names: set[str] = set()
    for node in tree.body if isinstance(tree, ast.Module) else [tree]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            names |= {
                name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            }
    return names


def loaded(tree: ast.AST) -> set[str]:
    """The names that are read anywhere in a piece of code."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def gives_a_result(body: str) -> bool:
    """Whether the lines of a function's body return or yield, not counting the functions defined in it."""
    tree = parse("def function():\n" + body)
    waiting = [child for node in tree.body for child in ast.iter_child_nodes(node)] if tree else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return False


def does_something(body: str) -> bool:
    """Whether a function body is more than words that happen to be expressions ("yes", "42")."""
    tree = parse("if True:\n" + body)
    return tree is None or any(
        not isinstance(node, (ast.Expr, ast.If)) or isinstance(getattr(node, "value", None), ast.Call)
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
    )
