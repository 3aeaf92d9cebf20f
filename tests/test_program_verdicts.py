"""Verdicts on single programs: each grade, the proxy's fine points, and what a fault of ours looks like."""

import concurrent.futures
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.episode import Grade, Problem, UnitTests, Verdict
from bench.grading.programs import verifier as programs
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.sandbox.workers import Worker
from bench.grading.verifier import Grading


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    with ProgramVerifier(Grading(workers=1, program_seconds=2, memory_mb=512)) as verifier:
        yield verifier


def graded(verifier: ProgramVerifier, reply: str, *asserts: str, **fields: str) -> Verdict:
    tests = UnitTests(asserts=asserts, **fields)  # pyright: ignore[reportArgumentType]
    return verifier.submit(Problem("p", "", "", tests=tests), reply).result()


@pytest.mark.parametrize(
    ("reply", "grade", "failure"),
    [
        ("def f(x): return 2 * x", Grade.CORRECT, ""),
        ("def f(x): return x", Grade.WRONG, "assert f(2) == 4 does not hold"),
        ("def f(x): raise ValueError('no')", Grade.ERROR, "ValueError: no"),
        ("def f(x): raise AssertionError('mine')", Grade.ERROR, "AssertionError: mine"),
        ("def g(x): return x", Grade.ERROR, "NameError: name 'f' is not defined"),
        ("def f(x: return x", Grade.UNPARSEABLE, "SyntaxError"),
        ("```python\ndef f(x):\n```", Grade.UNPARSEABLE, "IndentationError"),
        ("I do not know.", Grade.NO_ANSWER, "no code"),
        ("def f(x):\n    while True: pass", Grade.TIMEOUT, "no result within 2 seconds"),
        ("def f(x): return len(bytearray(1 << 30))", Grade.MEMORY, "MemoryError"),
        ("import os\nos._exit(0)", Grade.ERROR, "left its process with 0"),
        ("import socket\nsocket.socket()", Grade.ERROR, "PermissionError"),
        ("def f(x):\n    import os\n    os.kill(os.getpid(), 11)", Grade.ERROR, "left its process with -11"),
    ],
)
def test_each_end_of_a_program_has_its_grade(verifier: ProgramVerifier, reply: str, grade: Grade, failure: str) -> None:
    verdict = graded(verifier, reply, "assert f(2) == 4")
    assert verdict.grade is grade
    assert failure in verdict.failure
    assert (verdict.answer is None) == (grade is Grade.NO_ANSWER)
    assert verdict.seconds > 0


def test_expected_values_that_need_the_programs_classes_are_compared(verifier: ProgramVerifier) -> None:
    program = (
        "class Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\ndef f(pairs): return [p.b for p in pairs]"
    )
    assert graded(verifier, program, "assert f([Pair(1, 2), Pair(3, 4)]) == [2, 4]").grade is Grade.CORRECT
    assert graded(verifier, program, "assert f([Pair(1, 2), Pair(3, 4)]) == [2, 3]").grade is Grade.WRONG


def test_setup_code_sees_the_solution(verifier: ProgramVerifier) -> None:
    program = "class Node:\n    def __init__(self, v): self.v = v\ndef f(node): return node.v"
    assert graded(verifier, program, "assert f(root) == 3", setup="root = Node(3)").grade is Grade.CORRECT
    assert graded(verifier, "def f(node): return 3", "assert f(root) == 3", setup="root = Node(3)").grade is Grade.ERROR


@pytest.mark.parametrize(
    "test",
    [
        "assert set(f((3, 1))) == set((1, 3))",
        "assert not f(()) and f((1,))",
        "assert abs(len(f((1, 2))) - 2.0) < 1e-6",
        "import math\nassert math.isclose(f((1.0000001,))[0], 1, rel_tol=0.001)",
        "for n in range(5):\n    assert f(tuple(range(n))) == list(range(n))",
        "values = [3, 1, 2]\nassert f(values) == sorted(values)",
        "try:\n    f(None)\nexcept TypeError:\n    pass\nelse:\n    raise AssertionError('no exception')",
        "assert list(map(f, [(2, 1)])) == [[1, 2]]",
        "assert f(map(lambda x: -x, [-1, -2])) == [1, 2]",
    ],
)
def test_every_shape_of_test_can_hold_and_can_fail(verifier: ProgramVerifier, test: str) -> None:
    assert graded(verifier, "def f(xs): return sorted(xs)", test).grade is Grade.CORRECT
    assert graded(verifier, "def f(xs): return [7]", test).grade is Grade.WRONG


def test_a_name_that_only_the_program_imports_is_found_if_it_does(verifier: ProgramVerifier) -> None:
    test = "assert f((1,)) == sys.getsizeof((1,))"
    assert graded(verifier, "import sys\ndef f(x): return sys.getsizeof(x)", test).grade is Grade.CORRECT
    assert graded(verifier, "from sys import getsizeof as f", test).failure == "NameError: name 'sys' is not defined"
    assert graded(verifier, "import math as sys\ndef f(x): return 1", test).grade is Grade.ERROR


def test_results_are_compared_as_the_builtin_types_they_are(verifier: ProgramVerifier) -> None:
    counter = "from collections import Counter\ndef f(x): return Counter(x)"
    assert graded(verifier, counter, "assert f('aab') == {'a': 2, 'b': 1}").grade is Grade.CORRECT
    assert graded(verifier, "def f(x): return (c for c in x)", "assert f('ab') == ['a', 'b']").grade is Grade.WRONG
    assert (
        graded(verifier, "def f(x): return (c for c in x)", "assert list(f('ab')) == ['a', 'b']").grade is Grade.CORRECT
    )
    assert graded(verifier, "def f(x): return x.keys()", "assert f({'a': 1}) == {'a'}").grade is Grade.CORRECT
    assert graded(verifier, "def f(x): return True", "assert f(1) == 1").grade is Grade.CORRECT
    assert graded(verifier, "def f(x): return 10 ** 5000", "assert f(1) == 10 ** 5000").grade is Grade.CORRECT


def test_arrays_and_their_numbers_are_compared_by_value() -> None:
    program = "import numpy as np\ndef f(x): return np.sum(np.array(x))"
    with ProgramVerifier(Grading(workers=1, program_seconds=20)) as roomy:
        assert graded(roomy, program, "assert f([1, 2]) == 3").grade is Grade.CORRECT


def check(body: str) -> dict[str, str]:
    return {
        "check": f"def check(candidate):\n{body}",
        "entry_point": "f",
        "preamble": "def g(x):\n    return x + 1\n\ndef f(x):\n    '''f'''\n",
    }


def test_a_body_continues_the_prompt_and_a_function_replaces_it(verifier: ProgramVerifier) -> None:
    tests = check("    assert candidate(1) == 2")
    for reply in ("    return g(x)", "def f(x):\n    return g(x)", "return g(x)"):
        assert graded(verifier, reply, **tests).grade is Grade.CORRECT
    assert graded(verifier, "    return x", **tests).grade is Grade.WRONG


def test_helpers_of_the_prompt_are_the_prompts_own_in_a_check(verifier: ProgramVerifier) -> None:
    tests = check("    assert candidate(1) == g(1)")
    cheat = "def g(x): return 7\ndef f(x): return 7"
    assert graded(verifier, cheat, **tests).grade is Grade.WRONG
    assert graded(verifier, "    return x + 1", **tests).grade is Grade.CORRECT


def test_a_check_may_name_the_function_under_test(verifier: ProgramVerifier) -> None:
    tests = check("    assert candidate(1) == f(1)\n    assert candidate(2) == 3")
    assert graded(verifier, "    return x + 1", **tests).grade is Grade.CORRECT


def test_work_in_place_is_seen_by_the_check_only_if_nothing_is_returned(verifier: ProgramVerifier) -> None:
    in_place = check("    xs = [3, 1]\n    candidate(xs)\n    assert xs == [1, 3]")
    assert graded(verifier, "    x.sort()", **in_place).grade is Grade.CORRECT
    assert graded(verifier, "    return sorted(x)", **in_place).grade is Grade.WRONG
    inputs = check("    xs = [3, 1]\n    assert candidate(xs) == sorted(xs)")
    assert graded(verifier, "    x.clear()\n    return []", **inputs).grade is Grade.WRONG


def test_a_program_keeps_its_state_between_calls_and_not_between_programs(verifier: ProgramVerifier) -> None:
    program = "calls = []\ndef f():\n    calls.append(1)\n    import math\n    math.tau = 7\n    return len(calls)"
    for _ in range(2):
        assert graded(verifier, program, "assert f() == 1", "assert f() == 2").grade is Grade.CORRECT
    assert graded(verifier, "import math\ndef f(): return math.tau > 6.5", "assert f() == False").grade is Grade.CORRECT


def test_chance_and_the_order_of_sets_are_the_same_each_time(verifier: ProgramVerifier) -> None:
    program = "import random\ndef f(): return [random.random(), list(set('abcdefgh'))]"
    drawn = {graded(verifier, program, "assert f() == 0, f()").failure for _ in range(3)}
    assert len(drawn) == 1


def test_comparing_without_end_is_a_timeout_and_the_next_program_is_graded(verifier: ProgramVerifier) -> None:
    slow = "def f(x): return 'a' * 40 + 'b'"
    test = "import re\nassert re.fullmatch('(a+)+', f(1))"
    assert graded(verifier, slow, test).grade is Grade.TIMEOUT
    assert graded(verifier, "def f(x): return 'a'", test).grade is Grade.CORRECT


def test_tests_that_cannot_run_are_our_fault_and_not_a_grade(verifier: ProgramVerifier) -> None:
    with pytest.raises(ValueError, match="the unit tests of problem p cannot be run: ModuleNotFoundError"):
        graded(verifier, "def f(): pass", check="import nothing_like_it\ndef check(candidate): pass", entry_point="f")
    for broken in ({"check": "def check(:", "entry_point": "f"}, {"check": "x = 1 / 0", "entry_point": "f"}):
        with pytest.raises(ValueError, match="cannot be run"):
            graded(verifier, "def f(): pass", **broken)
    with pytest.raises(ValueError, match="cannot be run: SyntaxError"):
        graded(verifier, "def f(): pass", "assert f( == 1")
    with pytest.raises(ValueError, match="has no unit tests"):
        verifier.submit(Problem("p", "", "1"), "x")


def test_a_test_runner_that_dies_is_replaced_and_the_program_graded_again() -> None:
    with ProgramVerifier(Grading(workers=1)) as verifier:
        assert graded(verifier, "def f(x): return 4", "assert f(2) == 4").grade is Grade.CORRECT
        (worker,) = verifier._workers.started
        worker.processes[0].kill()
        assert graded(verifier, "def f(x): return 4", "assert f(2) == 4").grade is Grade.CORRECT
        assert worker not in verifier._workers.started
        assert worker.processes[1].poll() is not None
        (worker,) = verifier._workers.started
        worker.processes[1].kill()
        assert graded(verifier, "def f(x): return 4", "assert f(2) == 4").grade is Grade.CORRECT
        assert worker.processes[0].poll() is not None


def test_a_reply_that_ends_every_test_runner_is_an_error_only_while_known_programs_are_graded_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ProgramVerifier(Grading(workers=1)) as verifier:
        ask = Worker.ask

        def deadly(worker: Worker, job: dict[str, str], seconds: float) -> dict[str, object]:
            if "deadly" in job["text"]:
                worker.processes[0].kill()
            return ask(worker, job, seconds)

        monkeypatch.setattr(Worker, "ask", deadly)
        verdict = graded(verifier, "deadly", "assert f(2) == 4")
        assert verdict.grade is Grade.ERROR
        assert "grading it ends the test runner" in verdict.failure
        monkeypatch.setattr(programs, "CANARY", UnitTests(asserts=("assert canary() == 3",)))
        with pytest.raises(RuntimeError, match="the sandbox is broken"):
            graded(verifier, "deadly", "assert f(2) == 4")


def test_a_verifier_serves_many_threads_and_ends_its_processes() -> None:
    with ProgramVerifier(Grading(workers=2)) as verifier:
        results: list[Verdict] = []
        threads = [
            threading.Thread(
                target=lambda n=n: results.append(graded(verifier, f"def f(): return {n}", f"assert f() == {n}"))
            )
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        processes = [process for worker in verifier._workers.started for process in worker.processes]
    assert [verdict.grade for verdict in results] == [Grade.CORRECT] * 8
    assert all(process.poll() is not None for process in processes)


def test_closing_while_programs_run_leaves_no_future_waiting() -> None:
    verifier = ProgramVerifier(Grading(workers=1))
    problem = Problem("p", "", "", tests=UnitTests(asserts=("assert f() == 1",)))
    futures = [verifier.submit(problem, "import time\ndef f(): time.sleep(60)") for _ in range(3)]
    verifier.close()
    for future in futures:
        with pytest.raises((RuntimeError, concurrent.futures.CancelledError)):
            future.result(timeout=60)


def test_published_cases_of_code_eval_and_human_eval_get_their_verdicts(
    verifier: ProgramVerifier, shared_data: Path
) -> None:
    for case in map(json.loads, (shared_data / "graders" / "code_exec_cases.jsonl").read_text().splitlines()):
        problem = case["problem"]
        if "entry_point" in problem:
            tests = UnitTests(check=problem["test"], entry_point=problem["entry_point"], preamble=problem["prompt"])
        else:
            tests = UnitTests(asserts=(problem["test"],))
        reply = case.get("completion", case.get("program"))
        verdict = verifier.submit(Problem("case", "", "", tests=tests), reply).result()
        assert (verdict.grade is Grade.CORRECT) == case["expected_pass"], case["why"]
