"""Programs out of replies, run where they stand: for tests of what is read, not of the sandbox."""

from bench.episode import UnitTests
from bench.grading.programs.extraction import assemble, extract_program

ADD = UnitTests(
    check="def check(candidate):\n    assert candidate(2, 3) == 5\n",
    entry_point="add",
    preamble='def add(a, b):\n    """Add two numbers."""\n',
)
DOUBLE = UnitTests(asserts=("assert double(2) == 4",))


def result(reply: str, tests: UnitTests, call: str) -> object:
    """What `call` gives when the program extracted from the reply is run."""
    code = extract_program(reply, tests)
    assert code is not None
    namespace: dict[str, object] = {"__name__": "solution"}
    exec(assemble(tests, code), namespace)
    return eval(call, namespace)
