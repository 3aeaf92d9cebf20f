"""The program in a chat reply, and the whole program that is run.

A reply is a bare continuation of the prompt's function body, a whole function, or either of them in fences with prose
around. What is taken, in this order:

1. Of fenced blocks (``` or ~~~, tagged as Python or not at all, also [BEGIN] ... [DONE]) the last that defines the
   function under test, with the earlier blocks that define what it uses; without such a block, the last one.
2. Without fences, the whole text if it is a program or continues the prompt.
3. Otherwise the longest run of lines that parses and defines something.

Top-level `assert` and `print(...)` statements are demonstrations, not the solution, and are left out, as is whatever
follows a program and does not parse (a reply cut in mid-line, prose after code).
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator

from bench.episode import UnitTests
from bench.grading.assertions import BUILTINS, tested_functions

FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*$")
PYTHON_TAGS = {"", "py", "py3", "python", "python2", "python3", "code"}
FUTURE = re.compile(r"^from __future__ import .*$\n?", re.MULTILINE)
LOOKS_LIKE_CODE = re.compile(
    r"^\s*(def |class |return\b|import |from \w[\w.]* import|for .*:\s*$|while .*:\s*$)", re.MULTILINE
)
MAX_LINES = 2000  # of prose and code mixed, beyond which the search for the longest run is given up
MAX_CUTS = 60  # errors that one run of lines may be shortened by before it counts as prose
DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom)


def assemble(tests: UnitTests, code: str) -> str:
    """The program that is run: imports, preamble, the candidate's code, setup; `from __future__` lines go first."""
    preamble = tests.preamble.rstrip() if code[:1] in {" ", "\t"} else closed(tests.preamble)
    parts = [*tests.imports, preamble, FUTURE.sub("", code), tests.setup]
    return "".join(FUTURE.findall(code)) + "\n".join(part for part in parts if part.strip()) + "\n"


def extract_program(text: str, tests: UnitTests) -> str | None:
    """The candidate's code in `text`, so that `assemble` makes a program of it; None if there is no code at all.

    Code that is there and cannot be parsed is returned as it stands: assembling and compiling it shows the error.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    names = tested_names(tests)
    blocks = [block for block in fenced_blocks(text) if block.strip()]
    if not blocks:
        return _from_plain_text(text, tests, names)
    fitted = [_fit(block, tests, names) or block for block in blocks]
    chosen = max(range(len(blocks)), key=lambda place: (_defines(fitted[place], tests, names), place))
    return _with_helpers(fitted[:chosen], fitted[chosen], tests)


def closed(preamble: str) -> str:
    """A preamble as a program of its own: one that ends with a bare `def` line is given a body."""
    preamble = preamble.rstrip()
    return preamble if parse(preamble) is not None else f"{preamble}\n    pass"


def tested_names(tests: UnitTests) -> frozenset[str]:
    """The functions a program must define: HumanEval's entry point, or what MBPP's asserts call."""
    if tests.entry_point:
        return frozenset({tests.entry_point})
    return tested_functions(tests.asserts)


def fenced_blocks(text: str) -> list[str]:
    """The insides of the Python fences; one that is never closed (a reply cut short) reaches to the end."""
    marked = re.findall(r"\[BEGIN\][ \t]*\n(.*?)(?:\[DONE\]|\Z)", text, re.DOTALL)
    if marked and "```" not in "".join(marked):
        return marked
    blocks: list[str] = []
    opened, tag, lines = "", "", []
    for line in text.split("\n"):
        fence = FENCE.match(line)
        closes = fence is not None and not fence[2] and fence[1].startswith(opened)
        if not opened and fence:
            opened, tag, lines = fence[1], fence[2].lower(), []
        elif opened and (closes or line.strip() in {"[DONE]", "[/PYTHON]"}):
            blocks += ["\n".join(lines)] if tag in PYTHON_TAGS else []
            opened = ""
        else:
            lines.append(line)
    if opened and tag in PYTHON_TAGS:
        blocks.append("\n".join(lines))
    return blocks


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None for what is not Python (or is built to exhaust the parser)."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _compiles(source: str) -> bool:
    """Whether `source` is a program; unlike parsing, this finds a `return` outside of any function."""
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(source, "<reply>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _from_plain_text(text: str, tests: UnitTests, names: frozenset[str]) -> str | None:
    fitted = _fit(text, tests, names)
    if fitted is not None and _defines(fitted, tests, names):
        return fitted
    found = _longest_program(text, names)
    if found is not None:
        return _without_demonstrations(found)
    return text.strip("\n") if LOOKS_LIKE_CODE.search(text) else None


def _fit(chunk: str, tests: UnitTests, names: frozenset[str]) -> str | None:
    """`chunk` as a program of its own or as a body that continues the preamble; None if it parses as neither.

    Chat templates strip replies, so a body may have lost the indentation of its first line, or of all of them.
    """
    chunk = chunk.strip("\n").rstrip()
    dedented = textwrap.dedent(chunk)
    bodies = [chunk, "    " + chunk.lstrip(), textwrap.indent(dedented, "    ")] if tests.preamble else []
    for trim in (lambda source, _: source, _parsing_prefix):
        whole = trim(dedented, "")
        if whole.strip() and _compiles(whole) and (not tests.preamble or _binds(whole, names)):
            return _without_demonstrations(whole)
        for body in bodies:
            continued = trim(body, tests.preamble)
            if continued[:1] in {" ", "\t"} and _does_something(continued) and _compiles(assemble(tests, continued)):
                return _without_demonstrations(continued, tests.preamble)
    whole = _parsing_prefix(dedented, "")
    return _without_demonstrations(whole) if _longest_program(whole) is not None else None


def _above(preamble: str) -> str:
    return preamble.rstrip() + "\n" if preamble.strip() else ""


def _parsing_prefix(source: str, preamble: str) -> str:
    """The leading lines of `source` that parse after `preamble`: each error cuts the text above its own line."""
    lines = source.split("\n")
    above = _above(preamble)
    for _ in range(MAX_CUTS):
        try:
            with warnings.catch_warnings(action="ignore"):
                compile(above + "\n".join(lines), "<reply>", "exec", dont_inherit=True)
        except SyntaxError as error:
            place = (error.lineno or 1) - above.count("\n") - 1
            del lines[min(max(place, 0), len(lines) - 1) :]
        except (ValueError, MemoryError, RecursionError):
            return ""
        else:
            return "\n".join(lines).rstrip()
        if not lines:
            break
    return ""


def _longest_program(text: str, names: frozenset[str] = frozenset()) -> str | None:
    """The longest run of lines that parses and defines something, one that defines `names` before any other."""
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        return None
    best: tuple[bool, int] = (False, 0)
    program = None
    end = 0
    for start in _starts(lines):
        if start < end:
            continue  # inside a run that was looked at
        run = _parsing_prefix("\n".join(lines[start:]), "")
        end = start + run.count("\n") + 1
        tree = parse(run)
        if tree is None or not any(isinstance(node, DEFINING) for node in tree.body):
            continue
        rank = (bool(names & _bound(tree)), sum(1 for line in run.split("\n") if line.strip()))
        if rank > best:
            best, program = rank, run
    return program


def _starts(lines: list[str]) -> Iterator[int]:
    """Lines where a program may begin: unindented code."""
    for number, line in enumerate(lines):
        if re.match(r"(def |class |async def |import |from |@|[A-Za-z_]\w*\s*(:.*)?=)", line):
            yield number


def _binds(source: str, names: frozenset[str]) -> bool:
    tree = parse(source)
    return tree is not None and bool(names & _bound(tree))


def _bound(tree: ast.Module) -> set[str]:
    """The names a module binds at its top level."""
    bound: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            bound |= {
                name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            }
    return bound


def _defines(code: str, tests: UnitTests, names: frozenset[str]) -> bool:
    """Whether the code defines the function under test, by itself or as the body the preamble waits for."""
    if code[:1] in {" ", "\t"} and tests.preamble:
        return parse(assemble(tests, code)) is not None
    return _binds(code, names)


def _with_helpers(earlier: list[str], program: str, tests: UnitTests) -> str:
    """`program` after those of the `earlier` blocks that define a name which it uses and nothing else defines."""
    known = BUILTINS | _bound(parse(assemble(tests, "")) or ast.Module([], []))
    for block in reversed(earlier):
        tree, helper = parse(program), parse(block)
        if tree is None or helper is None:
            continue
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | _bound(tree)
        if (used - bound - known) & _bound(helper):
            program = block + "\n\n" + program
    return program


def _does_something(body: str) -> bool:
    """Whether a function body is more than words that happen to be expressions ("yes", "42")."""
    tree = parse("if True:\n" + body)
    return tree is None or any(
        not isinstance(node, (ast.Expr, ast.If)) or isinstance(getattr(node, "value", None), ast.Call)
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
    )


def _without_demonstrations(source: str, preamble: str = "") -> str:
    """`source`, which follows the preamble, less its top-level `assert` and `print(...)` statements."""
    above = _above(preamble)
    tree = parse(above + source)
    if tree is None:
        return source
    lines = (above + source).split("\n")
    start = above.count("\n")
    for node in tree.body:
        printed = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "print"
        )
        if node.lineno > start and (isinstance(node, ast.Assert) or printed):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    rest = "\n".join(lines[start:]).rstrip()
    return rest if parse(above + rest) is not None else source
