"""The program in a chat reply, and the whole program that is run.

A reply is a bare continuation of the prompt's function body, a whole function, or either of them in fences with prose
around. What is taken, in this order:

1. The part of the reply that answers the prompt (`reply_format.own_part`): up to the first `[DONE]` after code, without
   the tasks that are invented after it.
2. Of that part's fenced blocks the last that defines the function under test; where none does, the text before a fence
   that was never opened, or around fenced demonstrations. Text without fences falls into blocks of code by itself: a
   whole program, a continuation of the prompt, or the runs of lines between prose.
3. With it, what it uses and other blocks define, and without its demonstrations (`demonstrations`), and without what
   follows a program and does not parse (a reply cut in mid-line, prose after code).
"""

import ast
import re
import textwrap

from bench.episode import UnitTests
from bench.grading.programs.assertions import BUILTINS, free_names, tested_functions
from bench.grading.programs.demonstrations import without_demonstrations
from bench.grading.programs.python_source import (
    bound,
    compiles,
    does_something,
    find_programs,
    gives_a_result,
    loaded,
    parse,
    parsing_prefix,
)
from bench.grading.programs.reply_format import fenced_blocks, own_part, readings, session_input, unix_text

FUTURE = re.compile(r"^from __future__ import .*$\n?", re.MULTILINE)
LOOKS_LIKE_CODE = re.compile(
    r"^\s*(def |class |return\b|import |from \w[\w.]* import|for .*:\s*$|while .*:\s*$)", re.MULTILINE
)
DEFINES, CONTINUES, OTHER = 2, 1, 0  # what a block does about the function under test: ranks, the highest is taken


def assemble(tests: UnitTests, code: str) -> str:
    """The program that is run: imports, preamble, the candidate's code, setup; `from __future__` lines go first."""
    preamble = tests.preamble.rstrip() if code[:1] in {" ", "\t"} else closed(tests.preamble)
    parts = [*tests.imports, preamble, FUTURE.sub("", code), tests.setup]
    return "".join(FUTURE.findall(code)) + "\n".join(part for part in parts if part.strip()) + "\n"


def closed(preamble: str) -> str:
    """A preamble as a program of its own: one that ends with a bare `def` line is given a body."""
    preamble = preamble.rstrip()
    return preamble if parse(preamble) is not None else f"{preamble}\n    pass"


def tested_names(tests: UnitTests) -> frozenset[str]:
    """The functions a program must define: HumanEval's entry point, or what MBPP's asserts call."""
    if tests.entry_point:
        return frozenset({tests.entry_point})
    return tested_functions(tests.asserts)


def extract_program(text: str, tests: UnitTests) -> str | None:
    """The candidate's code in `text`, so that `assemble` makes a program of it; None if there is no code at all.

    Code that is there and cannot be parsed is returned as it stands: assembling and compiling it shows the error.
    """
    return _Reader(tests).program(unix_text(text))


class _Reader:
    """Looks for the program that some tests ask for. `names` are the functions it must define."""

    def __init__(self, tests: UnitTests) -> None:
        self.tests = tests
        self.names = tested_names(tests)
        self.above = tests.preamble.rstrip() + "\n" if tests.preamble.strip() else ""

    def program(self, text: str) -> str | None:
        text = own_part(text, self._holds_code, lambda part: self._best(part)[0] == DEFINES)
        code = self._best(text)[1]
        return None if code is None else self._less_demonstrations(code)

    def _best(self, text: str) -> tuple[int, str | None]:
        """The code of the likeliest reading in which it does most about the function under test, with its rank."""
        rank, code = OTHER, None
        for number, blocks in enumerate(readings(text)):
            fenced = number == 0 and blocks != [text]
            found_rank, found = self._choose(blocks, fenced=fenced)
            if found is not None and (code is None or found_rank > rank):
                rank, code = found_rank, found
        if rank < DEFINES:  # an interactive session, or a block tagged as another language
            for blocks in ([session_input(text) or ""], fenced_blocks(text, tags=None)):
                defining = [block for block in map(textwrap.dedent, blocks) if self._binds(block)]
                if defining:
                    return DEFINES, defining[-1]
        return rank, code

    def _choose(self, blocks: list[str], *, fenced: bool) -> tuple[int, str | None]:
        """Of some blocks the last of the highest rank, with what it needs of the others.

        Unfenced text may be prose, wholly or in part; what is `fenced` counts as code even if it does not parse.
        """
        parts: list[str] = []
        for block in blocks:
            fitted = self._fit(block) if block.strip() else None
            if fenced:
                parts += [fitted or block] if block.strip() else []
            elif fitted is not None and self._rank(fitted) == DEFINES and self._is_whole(block, fitted):
                parts.append(fitted)
            else:
                parts += self._unfenced(block, fitted)
        if not parts:
            return OTHER, None
        ranks = [self._rank(part) for part in parts]
        chosen = max(range(len(parts)), key=lambda place: (ranks[place], place))
        return ranks[chosen], self._with_helpers([*parts[:chosen], *parts[:chosen:-1]], parts[chosen])

    def _unfenced(self, text: str, fitted: str | None) -> list[str]:
        """The pieces of code in text that may be prose in part, the best of equals last."""
        pieces = list(find_programs(text))
        if not any(self._binds(piece) for piece in pieces):
            if fitted is not None and self._rank(fitted) > OTHER:
                return [fitted]
            pieces.sort(key=lambda piece: sum(1 for line in piece.split("\n") if line.strip()))
            if not pieces and LOOKS_LIKE_CODE.search(text):
                pieces = [text.strip("\n")]
        return pieces

    def _is_whole(self, text: str, fitted: str) -> bool:
        """Whether nothing but the text's end was left out, so that no other program follows."""
        return not any(self._binds(piece) for piece in find_programs(text.strip("\n")[len(fitted) :]))

    def _fit(self, chunk: str) -> str | None:
        """`chunk` as a program of its own or as a body that continues the preamble; None if it parses as neither.

        Chat templates strip replies, so a body may have lost the indentation of its first line, or of all of them.
        """
        chunk = chunk.strip("\n").rstrip()
        whole = dedented = textwrap.dedent(chunk)
        bodies = [chunk, "    " + chunk.lstrip(), textwrap.indent(dedented, "    ")] if self.above else []
        for cut in (False, True):  # as it stands, or up to what does not parse
            whole = parsing_prefix(dedented) if cut else dedented
            if whole.strip() and compiles(whole) and (not self.above or self._binds(whole)):
                return whole
            for body in bodies:
                continued = parsing_prefix(body, self.above) if cut else body
                indented = continued[:1] in {" ", "\t"}
                if indented and does_something(continued) and compiles(assemble(self.tests, continued)):
                    return continued
        return whole if any(find_programs(whole)) else None

    def _holds_code(self, part: str) -> bool:
        return bool(LOOKS_LIKE_CODE.search(part)) or self._best(part)[1] is not None

    def _rank(self, code: str) -> int:
        if self.above and code[:1] in {" ", "\t"}:
            if parse(assemble(self.tests, code)) is None:
                return OTHER
            return DEFINES if gives_a_result(code) else CONTINUES
        return DEFINES if self._binds(code) else OTHER

    def _binds(self, code: str) -> bool:
        tree = parse(code)
        return tree is not None and bool(self.names & bound(tree))

    def _with_helpers(self, others: list[str], program: str) -> str:
        """`program` after those of the `others`, last first, that define a name which it uses and nothing else does.

        What defines the same function under test is another attempt at it, and lends nothing, not even its imports.
        """
        known = BUILTINS | bound(parse(assemble(self.tests, "")) or ast.Module([], []))
        for block in reversed(others):
            tree, helper = parse(program), parse(block)
            if tree is None or helper is None or self.names & bound(helper) & bound(tree):
                continue
            own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
            own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | bound(tree)
            if (loaded(tree) - own - known) & bound(helper):
                program = block + "\n\n" + program
        return program

    def _less_demonstrations(self, code: str) -> str:
        """The code less its demonstrations; what the tests use of a program is none."""
        of_tests = [*self.tests.asserts, self.tests.setup, self.tests.check]
        wanted = self.names.union(*(free_names(ast.parse(source)) for source in of_tests))
        above = self.above if code[:1] in {" ", "\t"} else ""
        return without_demonstrations(code, wanted, above)
