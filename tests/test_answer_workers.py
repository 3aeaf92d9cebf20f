"""Answers that hang, swell or attack: each gets its verdict in time, nothing runs, and the pool stays whole."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.episode import Grade, Problem
from bench.grading.answers import algebra
from bench.grading.answers.verifier import AnswerVerifier
from bench.grading.verifier import Grading

SECONDS = 1.0
QUICK = Grading(workers=2, answer_seconds=SECONDS, memory_mb=512)
PATIENT = Grading(workers=2, answer_seconds=60, memory_mb=512)

HANGS = {
    "tower of powers": r"9^{9^{9^{9^{9}}}}",
    "tower in ascii": "9**9**9**9**9",
    "factorial": r"100000000!",
    "power": r"2^{10000000000}",
    "binomial": r"\binom{10^9}{5\cdot 10^8}",
    "sum": r"\sum_{k=1}^{10^{12}} \frac{1}{k^2+\sin k}",
    "product": r"\prod_{k=1}^{1000000} (x+k)",
    "integral": r"\int_0^1 e^{e^{e^{x^x}}} \sin(x^x) dx",
    "expansion": r"(1+x)^{3000}(1+y)^{3000}",
    "parentheses": "(" * 900 + "x" + ")" * 900,
    "braces": "{" * 100_000 + "5" + "}" * 100_000,
    "fractions": r"\frac{1}{" * 100 + "5" + "}" * 100,
    "digits": "9" * 100_000,
    "commas": "1,a" * 600,
    "dollars": "$" * 1999,
    "backslashes": "\\" * 1998 + "x",
    "spaces": "x" + " " * 1900 + "y",
    "decimals": "1." * 900,
    "matrix power": r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{10000000}",
    "surrogate": "\ud800\x00\x01",
}
PAYLOADS = {
    "import": "__import__('pathlib').Path('{marker}').touch()",
    "lambda": "(lambda: open('{marker}', 'w'))()",
    "exec": "exec(\"open('{marker}','w')\")",
    "subclasses": "().__class__.__base__.__subclasses__()[0]",
    "sympify": 'sympify(\'__import__("os").system("touch {marker}")\')',
    "text": r"\text{{__import__('os').system('touch {marker}')}}",
    "operator": r"\operatorname{{__import__}}('os').system('touch {marker}')",
    "f-string": 'f\'{{open("{marker}","w")}}\'',
    "format": "{{0.__init__.__globals__}}",
    "comment": "5 # \n__import__('os').system('touch {marker}')",
}


def problem(gold: str) -> Problem:
    return Problem(id="x", question="", gold=gold)


def boxed(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


@pytest.fixture(scope="module")
def verifier():
    with AnswerVerifier(QUICK) as verifier:
        yield verifier


@pytest.mark.parametrize("name", HANGS)
def test_an_endless_answer_gets_its_verdict_within_its_limit(verifier, name):
    verdict = verifier.submit(problem(r"\sqrt{7}"), boxed(HANGS[name])).result(timeout=120)
    assert verdict.grade in {Grade.TIMEOUT, Grade.MEMORY, Grade.WRONG, Grade.UNPARSEABLE}
    assert_whole(verifier)


@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_in_an_answer_is_executed(verifier, name, tmp_path):
    marker = tmp_path / "executed"
    answer = PAYLOADS[name].format(marker=marker)
    for text in (boxed(answer), f"Final Answer: The final answer is ${answer}$. I hope it is correct."):
        verdict = verifier.submit(problem("5"), text).result(timeout=120)
        assert verdict.grade in {Grade.WRONG, Grade.UNPARSEABLE, Grade.NO_ANSWER}
    assert not marker.exists()
    assert_whole(verifier)


def assert_whole(verifier):
    verifier._algebra._grading = PATIENT  # however busy this machine is
    verdict = verifier.submit(problem("x^2+2x+1"), boxed("(x+1)^2")).result(timeout=120)
    verifier._algebra._grading = QUICK
    assert verdict.grade is Grade.CORRECT
    assert len(worker_pids()) <= QUICK.workers


SEPARATORS = [
    *("#", "@", "?", ";", "|", "&", r"\\", r"\mid ", "!", r"\to ", ">", "<", "=", ",", " or ", r"\text{ or }", " and "),
    *(
        r"\text{ maybe }",
        r"\text{, or }",
        r"\text{ (or }",
        r"\wedge ",
        r"\vee ",
        "~",
        "'",
        r"\foo ",
        r"\implies ",
        "%",
        ":",
    ),
    *(
        r"\quad ",
        r"\,",
        " ",
        "/",
        r"\cup ",
        r"\cap ",
        r"\ne ",
        r"\le ",
        r"\approx ",
        r"\sim ",
        r"\equiv ",
        r"\pm ",
        "_",
    ),
    *("\n", ".", "...", r"\ldots ", r"\in ", r"\times ", "+", " vs ", "(", ")", "[", "]", r"\circ ", "$", r"\(", r"\]"),
    *(r"\boxed", r"\text{", r"\mod ", "\u2248", "\u2192", "\uff1b", "\u3002"),
]
RIVALS = [("5", "6"), (r"\sqrt{2}", r"\sqrt{3}"), (r"\frac{1}{2}", "7"), ("x+1", "x+2"), (r"\text{yes}", r"\text{no}")]


def test_naming_two_answers_is_never_right_for_both():
    with AnswerVerifier(PATIENT) as verifier:
        compared = []
        for separator in SEPARATORS:
            for one, other in RIVALS:
                text = boxed(one + separator + other)
                compared.append((text, [verifier.submit(problem(gold), text) for gold in (one, other)]))
        fooled = [text for text, both in compared if all(verdict.result().grade == "correct" for verdict in both)]
    assert not fooled


@pytest.mark.parametrize("space", [" ", r"\,", r"\;", "~", r"\quad "])
def test_numbers_with_nothing_but_a_space_between_them_are_no_number(space):
    """Math-Verify reads "1 2" as a mixed number, 3."""
    with AnswerVerifier(PATIENT) as verifier:
        for one, other in ((1, 2), (3, 4)):
            for read_as in (f"{one}{other}", str(one + other), str(one * other), f"{one}.{other}"):
                for answer in (f"{one}{space}{other}", f"x = {one}{space}{other}"):
                    grade = verifier.submit(problem(read_as), boxed(answer)).result().grade
                    assert grade != "correct", (read_as, answer)
        for spaced in (f"1{space}2", f"2^3{space}5", f"1{space}1/2", f"1{space}000"):
            assert verifier.submit(problem(spaced), boxed(spaced)).result().grade == "correct", spaced
        assert verifier.submit(problem("40"), boxed(f"2^3{space}5")).result().grade == "correct"


def test_a_swelling_answer_is_told_from_a_slow_one():
    with AnswerVerifier(Grading(workers=1, answer_seconds=60, memory_mb=150)) as verifier:
        verdict = verifier.submit(problem("5"), boxed(r"2^{2^{34}}")).result(timeout=120)
    assert verdict.grade is Grade.MEMORY


def test_workers_have_no_privileges_left(verifier):
    assert_whole(verifier)
    (pid, *_) = worker_pids()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    assert status["CapEff"].strip("\t 0") == ""
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert f"Max address space         {QUICK.memory_mb << 20}" in limits
    assert "Max file size             0" in limits


def test_equal_pairs_are_compared_once(monkeypatch):
    compared = []
    compare = algebra.Algebra.compare
    monkeypatch.setattr(algebra.Algebra, "compare", lambda self, *both: compared.append(both) or compare(self, *both))
    with AnswerVerifier(PATIENT) as verifier:
        spellings = [r"2\sqrt{3}", r"2 \sqrt 3", r"$2\sqrt{3}$", r"2\sqrt{3} \text{ cm}"]
        verdicts = [verifier.submit(problem(r"\sqrt{12}"), boxed(answer)) for answer in spellings * 3]
        assert {verdict.result(timeout=120).grade for verdict in verdicts} == {Grade.CORRECT}
    with AnswerVerifier(QUICK) as verifier:
        verdicts = [verifier.submit(problem("5"), boxed(HANGS["power"])) for _ in range(5)]
        assert {verdict.result(timeout=120).grade for verdict in verdicts} == {Grade.TIMEOUT}
    assert len(compared) == 2


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr("bench.grading.answers.verifier.CACHE_SIZE", 3)
    with AnswerVerifier(PATIENT) as verifier:
        for number in range(6):
            verifier.submit(problem("x+y"), boxed(f"y+x+{number}-{number}")).result(timeout=120)
        assert verifier._compare_by_algebra.cache_info().currsize == 3


def test_any_thread_may_submit():
    with AnswerVerifier(PATIENT) as verifier, ThreadPoolExecutor(8) as threads:
        answers = [f"(x+{number})^2" for number in range(24)]
        golds = [f"x^2+{2 * number}x+{number**2}" for number in range(24)]
        grades = threads.map(
            lambda gold, answer: verifier.submit(problem(gold), boxed(answer)).result(timeout=120).grade, golds, answers
        )
        assert set(grades) == {Grade.CORRECT}


def test_a_worker_that_is_killed_from_outside_is_replaced():
    with AnswerVerifier(Grading(workers=1, answer_seconds=60)) as verifier:
        verifier.submit(problem("x+y"), boxed("y+x+0")).result(timeout=120)
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)
        assert verifier.submit(problem("x+y"), boxed("2y+x-y")).result(timeout=120).grade is Grade.CORRECT


def test_workers_are_recycled_without_leaking_descriptors_or_processes(monkeypatch):
    monkeypatch.setattr(algebra, "ANSWERS_PER_WORKER", 1)
    with AnswerVerifier(Grading(workers=1, answer_seconds=60)) as verifier:
        verifier.submit(problem("x+y"), boxed("y+x+0")).result(timeout=120)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (iterdir would open one more)
        for number in range(5):
            verifier.submit(problem("x+y"), boxed(f"y+x+{number}-{number}")).result(timeout=120)
        assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
        assert len(worker_pids()) <= 1


def test_a_pool_that_cannot_start_raises_instead_of_grading(monkeypatch):
    monkeypatch.setattr(algebra, "MODULE", "answers.absent")
    with AnswerVerifier(QUICK) as verifier:
        for number in range(3):  # and it does not wait for workers that never came
            fault = verifier.submit(problem("x+y"), boxed(f"y+x+{number}-{number}")).exception(timeout=120)
            assert isinstance(fault, RuntimeError)
            assert "did not start" in str(fault)
            assert "No module named 'bench.grading.answers.absent'" in str(fault)


def test_an_empty_gold_is_refused_by_the_problems_name():
    with AnswerVerifier(QUICK) as verifier:
        fault = verifier.submit(problem(""), boxed("5")).exception(timeout=1)
    assert isinstance(fault, ValueError)
    assert "'x' has an empty gold" in str(fault)


def test_an_unknown_grader_is_refused():
    with pytest.raises(ValueError, match="math_verify, hendrycks"):
        AnswerVerifier(QUICK, grader="hendricks")


def test_closing_ends_every_process():
    before = set(descendants(os.getpid()))
    verifier = AnswerVerifier(PATIENT)
    verifier.submit(problem("x+y"), boxed("y+x+0")).result(timeout=120)
    ours = set(descendants(os.getpid())) - before
    assert ours
    verifier.close()
    assert all_end(ours)


def test_no_process_outlives_an_owner_that_is_killed():
    program = (
        "import time; from bench.grading.answers.verifier import AnswerVerifier;"
        "from bench.grading.verifier import Grading;"
        "from bench.episode import Problem; verifier = AnswerVerifier(Grading(workers=2, answer_seconds=300));"
        "ask = lambda a: verifier.submit(Problem(id='', question='', gold='x+y'), r'\\boxed{' + a + '}');"
        "ask('y+x+0').result(); ask('2^{10000000000}'); time.sleep(1); print('busy', flush=True); time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"busy\n"
        started = descendants(owner.pid)
        assert started
        owner.kill()
    assert all_end(started)


def worker_pids() -> list[int]:
    """The processes that compare answers for this one and that still live."""
    return [pid for pid in descendants(os.getpid()) if is_ours(pid)]


def is_ours(pid: int) -> bool:
    try:
        return b"math_verify_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def descendants(pid: int) -> list[int]:
    children = [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent(int(entry.name)) == pid
    ]
    return [*children, *(below for child in children for below in descendants(child))]


def all_end(pids) -> bool:
    """Whether all of these processes end within a few seconds."""
    for _ in range(300):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False
