"""A program without the statements that only show it at work: `print(f(3))`, `assert f(2) == 4`, `n = int(input())`."""

import ast

from bench.grading.programs.python_source import bound, loaded, parse

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
CONSOLE = frozenset({"print", "input"})


def without_demonstrations(source: str, wanted: frozenset[str], above: str = "") -> str:
    """`source`, which follows the lines `above`, less its demonstrations.

    Those are statements at the top level: asserts, prints, and whatever uses a `wanted` function (what the tests ask of
    the program) or the console and binds or changes nothing that `wanted` needs. So `f = lru_cache(f)` stays, and so
    does all that has nothing to do with `wanted`, such as `sys.setrecursionlimit(10**6)`. Definitions always stay.
    """
    tree = parse(above + source)
    if tree is None:
        return source
    needed = _needed(tree, wanted)
    using = wanted | CONSOLE  # names that lead to a wanted function or the console
    lines = (above + source).split("\n")
    start = above.count("\n")
    for node in tree.body:
        used = loaded(node)
        if isinstance(node, DEFINITIONS):
            using |= (bound(node) - needed) if used & using else set()
        elif node.lineno > start and (_is_check(node) or (used & using and not _changed(node) & needed)):
            using |= bound(node)
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    rest = "\n".join(lines[start:]).rstrip()
    return rest if parse(above + rest) is not None else source


def _is_check(node: ast.stmt) -> bool:
    """Whether a statement is an `assert` or `print(...)`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return isinstance(node.value.func, ast.Name) and node.value.func.id == "print"
    return isinstance(node, ast.Assert)


def _needed(tree: ast.Module, wanted: frozenset[str]) -> frozenset[str]:
    """`wanted` and all names that the statements which bind them use, and so on."""
    needed, waiting = set(wanted), list(wanted)
    users: dict[str, set[str]] = {}
    for node in tree.body:
        for name in bound(node):
            users.setdefault(name, set()).update(_from_outside(node))
    while waiting:
        fresh = users.get(waiting.pop(), set()) - needed
        needed |= fresh
        waiting += fresh
    return frozenset(needed)


def _from_outside(node: ast.stmt) -> set[str]:
    """The names that a statement reads; of a function, not its arguments and variables."""
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return loaded(node)
    parts = list(ast.walk(node))
    own = {part.arg for part in parts if isinstance(part, ast.arg)}
    own |= {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    shared = {name for part in parts if isinstance(part, (ast.Global, ast.Nonlocal)) for name in part.names}
    return (loaded(node) | shared) - (own - shared)


def _changed(node: ast.stmt) -> set[str]:
    """The names that a statement binds, stores something in, or calls a method of."""
    changed = bound(node)
    for part in ast.walk(node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and isinstance(part.ctx, (ast.Store, ast.Del)):
            changed |= loaded(part.value)
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            changed |= loaded(part.func.value)
    return changed
