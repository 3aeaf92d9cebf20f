"""Tests taken apart: the call that the program's process makes, and the expectation that stays in the test runner."""

import ast
import builtins
from collections.abc import Iterable

CALL = "__call__"  # bound by the test runner to a function that has the source of a call evaluated by the program
BUILTINS = frozenset(dir(builtins))


def call_split(source: str, trusted: set[str]) -> ast.Module:
    """The test with each call of a function of the program's replaced by `__call__("<source of the call>")`.

    `assert set(f((3, 4))) == {3, 4}` becomes `assert set(__call__("f((3, 4))")) == {3, 4}`: arguments are made by the
    program's process, which may need its own classes for them, and the expected value never leaves the test runner.
    What is not a plain `assert` is left whole; its names are then bound to proxies.
    """
    tree = ast.parse(source)
    trusted = (trusted | BUILTINS) - tested_functions([source])
    if all(isinstance(statement, ast.Assert) for statement in tree.body):
        tree = ast.fix_missing_locations(_Split(trusted).visit(tree))
    return tree


def tested_functions(asserts: Iterable[str]) -> frozenset[str]:
    """The functions that asserts call and a program has to define.

    Names of built-in functions are not among them (`set(f(x)) == {1}`), unless an assert calls nothing else: MBPP 126
    has programs define a `sum` of their own.
    """
    functions: set[str] = set()
    for source in asserts:
        nodes = ast.walk(ast.parse(source))  # breadth first: the outermost call on the left comes first
        calls = [node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        functions |= set(calls) - BUILTINS or set(calls[:1])
    return frozenset(functions)


def free_names(tree: ast.Module) -> set[str]:
    """The names that a test reads and neither it nor Python itself defines."""
    read: set[str] = set()
    bound: set[str] = {CALL}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read.add(name)
            case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                bound.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                bound |= {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
            case ast.ExceptHandler(name=str(name)):
                bound.add(name)
    return read - bound - BUILTINS


class _Split(ast.NodeTransformer):
    def __init__(self, trusted: set[str]) -> None:
        self.trusted = trusted

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id not in self.trusted and not self._is_mixed(node):
            return ast.Call(ast.Name(CALL, ast.Load()), [ast.Constant(ast.unparse(node))], [])
        return self.generic_visit(node)

    def _is_mixed(self, call: ast.Call) -> bool:
        """Whether an argument needs something that only the test runner has: a module or a helper of the tests."""
        names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
        return bool(names & (self.trusted - BUILTINS))
