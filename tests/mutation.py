"""A random sample of small edits of the code that trains and measures, made and tried by mutmut: what do tests miss?

    python tests/mutation.py FOLDER [--sample 300] [--seed 1] [--workers 2] [--again]

FOLDER gets a copy of the code, and what mutmut knows: a second call continues where the first was stopped, and with
`--again` tries those mutants of the sample again that were not killed. Which modules and tests take part is
`tool.mutmut` in pyproject.toml. Prints each survivor's diff, then killed and tried by module. A mutant in
tests/mutation_equivalents.toml changes nothing that a test could see, and is not counted. A time-out counts as killed:
its tests took more than ten times as long as without it; each is listed, to be looked at.

mutmut runs the tests that reach a mutated function in a process forked from one that has imported everything. It
mutates functions only: no decorated one, no property, no default of a dataclass.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENTS = ROOT / "tests" / "mutation_equivalents.toml"
STATS = Path("mutmut-stats.json")  # in the folder where mutmut runs pytest
# pytest's exit codes, and mutmut's: 3 is an internal error of pytest's, -24 and -9 the limit of processor time.
OUTCOMES = {0: "survived", 1: "killed", 3: "killed", -24: "timed out", -9: "timed out", 5: "no tests", 33: "no tests"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """mutmut loads this file as a plugin of pytest: the quickest test first, since the first that fails ends it."""
    if STATS.exists():
        seconds = json.loads(STATS.read_text(encoding="utf-8"))["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    copy_tree(arguments.folder)
    os.chdir(arguments.folder)
    sample = sorted(random.Random(arguments.seed).sample(all_mutants(), arguments.sample))
    tried = exit_codes()
    waiting = [name for name in sample if tried.get(name) is None or (arguments.again and tried[name] not in (1, 3))]
    if waiting:
        Path("mutants").mkdir(exist_ok=True)  # Python does not look again at a path that was not there at its start
        mutmut = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(arguments.workers)]
        paths = {"PYTHONPATH": str(Path("mutants").resolve()), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run([*mutmut, *waiting], env={**os.environ, **paths}, check=True)
    report(sample, exit_codes())


def copy_tree(folder: Path) -> None:
    """What git knows and does not ignore, each with its time of change, by which mutmut sees what is new."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def all_mutants() -> list[str]:
    from mutmut.mutation.file_mutation import mutate_file_contents  # pyright: ignore[reportMissingImports]
    from mutmut.utils.file_utils import walk_mutatable_files  # pyright: ignore[reportMissingImports]
    from mutmut.utils.format_utils import get_mutant_name  # pyright: ignore[reportMissingImports]

    return [
        get_mutant_name(path, name)
        for path in sorted(walk_mutatable_files())
        for name in mutate_file_contents(str(path), path.read_text(encoding="utf-8")).mutant_names
    ]


def exit_codes() -> dict[str, int | None]:
    """By mutant; None for those that were not tried."""
    metas = [json.loads(path.read_text(encoding="utf-8")) for path in Path("mutants").rglob("*.py.meta")]
    return {name: code for meta in metas for name, code in meta["exit_code_by_key"].items()}


def report(sample: list[str], codes: dict[str, int | None]) -> None:
    by_module: dict[str, Counter[str]] = {}
    for name in sample:
        code = codes[name]
        outcome = "not tried" if code is None else OUTCOMES.get(code, f"failed to run ({code})")
        file = name.rpartition(".")[0].replace(".", "/") + ".py"
        if outcome not in ("killed", "timed out") and is_equivalent(file, *changed_lines(name)):
            outcome = "equivalent"
        elif outcome != "killed":
            print(f"{outcome}: {name}\n{diff_of(name)}")
        by_module.setdefault(file, Counter())[outcome] += 1
    total = sum(by_module.values(), Counter())
    for file, counts in [*sorted(by_module.items()), ("all", total)]:
        counted = counts.total() - counts["equivalent"]
        killed = counts["killed"] + counts["timed out"]
        print(f"{file}: {killed} of {counted} killed", dict(counts))
    counted = total.total() - total["equivalent"]
    print(f"{(total['killed'] + total['timed out']) / counted:.1%} killed of {counted}")


def diff_of(mutant: str) -> str:
    from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant  # pyright: ignore[reportMissingImports]

    return get_diff_for_mutant(mutant, path=find_mutant(mutant).path)


def changed_lines(mutant: str) -> tuple[str, str]:
    """What the mutant takes out and what it puts in, each as one line."""
    lines = diff_of(mutant).splitlines()[2:]  # after the two names of the file
    taken, put = (one_line("\n".join(line[1:] for line in lines if line.startswith(sign))) for sign in "-+")
    return taken, put


def is_equivalent(file: str, original: str, mutant: str) -> bool:
    """Whether it is listed, or lines differ in nothing but what a rule says is of no account."""
    found = equivalents()
    listed = {(each["file"], one_line(each["original"]), one_line(each["mutant"])) for each in found["mutant"]}
    rules = [each["pattern"] for each in found["rule"]]
    return (file, original, mutant) in listed or any(
        re.sub(rule, "", original) == re.sub(rule, "", mutant) for rule in rules
    )


def equivalents() -> dict[str, list[dict[str, str]]]:
    return tomllib.loads(EQUIVALENTS.read_text(encoding="utf-8"))


def one_line(text: str) -> str:
    """Without line ends, and without the commas that may stand before a closing bracket."""
    return re.sub(r",\s*([)\]}]|$)", r"\1", " ".join(text.split()))


if __name__ == "__main__":
    main()
