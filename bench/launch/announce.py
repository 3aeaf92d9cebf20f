"""What a sweep says before it starts and after it has ended."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from bench.experiment import RunSpec
from bench.launch.failures import BATCHES, ran_out_of_gpu
from bench.launch.forecast import makespan, seconds_of_earlier, spoken
from bench.launch.slots import Slots

_MOST_NAMED = 4  # values of one kind that are named; more are counted


def before_sweep(
    specs: Sequence[RunSpec], unfinished: Sequence[RunSpec], slots: Slots | None, *, launcher: str = ""
) -> list[str]:
    """What is planned, where it goes, how much of it at once, and how long it may take; `slots` of this machine."""
    results = specs[0].experiment.results
    finished = len(specs) - len(unfinished)
    before = f"; {finished} of {len(specs)} runs were finished before" if finished else ""
    lines = [f"{_count(len(specs), 'run')} planned: {_what(specs)}{before}", f"results go to {results}/runs"]
    if not unfinished:
        return lines
    lines += dict.fromkeys(f"note: {missed}" for spec in unfinished if (missed := spec.budget_missed()))
    if slots is None:
        return [*lines, f"jobs go to {launcher.rpartition('.')[2]}; its logs lie in {results}/sweeps/logs"]
    where = f"GPU {', '.join(gpu for gpu in slots.gpus if gpu is not None)}" if slots.gpus else "the CPU"
    cores = _count(slots.cores_each, "core")
    lines.append(f"{slots.at_once} at once on {where}, {cores} each (jobs= sets how many)")
    lines.append(f"time: {_time(unfinished, slots)}")
    return lines


def after_sweep(specs: Sequence[RunSpec], failures: Sequence[str], *, seconds: float, command: str) -> list[str]:
    """What to do next: `failures` is a line for each failed run, `command` what to call for another try."""
    results = Path(specs[0].experiment.results)
    done = [spec for spec in specs if spec.is_finished]
    lines = [f"{len(done)} of {_count(len(specs), 'run')} done after {spoken(seconds)}"]
    lines += [f"failed: {failure}" for failure in failures]
    if failures and (smaller := _smaller_batches(specs)):
        lines.append(f"go on with smaller batches:   {command} {smaller}")
    elif failures:
        lines.append(f"try the failed ones again:    {command}")
    if done:
        option = "" if results == Path("results") else f" --results {shlex.quote(str(results))}"
        shown = next((each for each in done[-1].evaluations if each.name == "greedy"), done[-1].evaluations[0])
        report = "" if shown.name == "greedy" else f" --evaluation {shown.name}"
        transcripts = done[-1].key.folder(results) / shown.folder / "transcripts.jsonl.gz"
        lines.append(f"read the conversations:       zcat {shlex.quote(str(transcripts))} | head -n 1")
        lines.append(f"write tables and figures:     python bench/report.py --html{option}{report}")
        lines.append(f"they will be in:              {results}/reports/{shown.name}")
    return lines


def _smaller_batches(specs: Sequence[RunSpec]) -> str:
    """Half the batches of the first run that died of its GPU's full memory, as overrides; "" if none did."""
    for spec in specs:
        failure = spec.failure_file
        if failure.exists() and ran_out_of_gpu(failure.read_text(encoding="utf-8")):
            return " ".join(f"model.{key}={max(1, getattr(spec.experiment.model, key) // 2)}" for key in BATCHES)
    return ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _what(specs: Sequence[RunSpec]) -> str:
    keys = [spec.key for spec in specs]
    parts = []
    for name in ("method", "task", "model", "variant", "seed"):
        values = list(dict.fromkeys(str(getattr(key, name)) for key in keys))
        if name == "variant" and values == ["main"]:
            continue
        shown = f": {', '.join(values)}" if len(values) <= _MOST_NAMED else ""
        parts.append(f"{name} {values[0]}" if len(values) == 1 else f"{len(values)} {name}s{shown}")
    shared = {spec.key: [row.task for row in spec.rows()] for spec in specs if list(spec.rows()) != [spec.key]}
    if shared:
        tasks = dict.fromkeys(task for tested in shared.values() for task in tested)
        parts.append(f"{_count(len(shared), 'training')} tested on {', '.join(tasks)}")
    return "; ".join(parts)


def _time(unfinished: Sequence[RunSpec], slots: Slots) -> str:
    earlier = [seconds_of_earlier(spec) for spec in unfinished]
    known = [seconds for seconds in earlier if seconds is not None]
    if not known:
        return "an estimate follows once the first steps have shown the pace"
    seconds = spoken(makespan([], known, slots.at_once))
    if len(known) == len(earlier):
        return f"about {seconds}, as other seeds took"
    return f"about {seconds} for {len(known)} of them, as other seeds took; for the rest the first steps will show it"
