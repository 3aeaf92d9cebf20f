"""The command that runs experiments.

    python bench/run.py                                        the miniature: base, Pair-SFT and SCoRe on a CPU
    python bench/run.py -m method=score,pair_sft seed=0,1,2    a sweep
    python bench/run.py -m method=score seed=0,1 --dry-run     what it would do: runs, stages, steps, samples
    python bench/run.py --help                                 every group and value

The whole sweep is composed and checked first; only then does the first experiment start, each in its own process.
A finished run is not done again. Exit codes: 0 all is done, 1 a run failed, 2 refused, 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import hydra
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from bench.experiment import RunSpec, merged
from bench.launch import key_help
from bench.launch.announce import after_sweep, before_sweep
from bench.launch.catalogue import register, spec_of_job
from bench.launch.clusters import check_cluster, failure_of, launch
from bench.launch.command_line import CONF, jobs_of
from bench.launch.dry_run import dry_run
from bench.launch.pool import run_all, slots_for
from bench.models.config import check_gpu
from bench.reporting.terminal import print_main_table

_MINIATURE = ("-m", "method=base,pair_sft,score")
_SWEEP = ("-m", "--multirun")
_DRY_RUN = "--dry-run"


def main(arguments: Sequence[str]) -> int:
    if not sys.platform.startswith("linux"):
        print(
            f"refused: this runs on Linux, and this is {sys.platform}; use WSL2, a container or another machine",
            file=sys.stderr,
        )
        return 2
    if any(argument.startswith("-") and argument not in (*_SWEEP, _DRY_RUN) for argument in arguments):
        register()
        key_help.register()
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="experiment")(_only_shown)()
        return 0
    is_dry = _DRY_RUN in arguments
    requested = [word for word in arguments if word != _DRY_RUN] or list(_MINIATURE)
    try:
        return _run(
            [word for word in requested if word not in _SWEEP],
            multirun=any(flag in requested for flag in _SWEEP),
            command=_command(arguments),
            is_dry=is_dry,
        )
    except KeyboardInterrupt:
        print(f"interrupted; this goes on where it stopped: {_command(arguments)}", file=sys.stderr)
        return 130


def _run(overrides: list[str], *, multirun: bool, command: str, is_dry: bool) -> int:
    try:
        jobs, specs, refused, launcher = _specs_of(overrides, multirun=multirun)
        refused = refused or _read_by_none(specs)
        if not refused and is_dry:
            print(*dry_run(specs), sep="\n")
            return 0
        if not refused:
            results = Path(specs[0].experiment.results)
            _record(specs, results)
    except ValueError as error:
        refused = [str(error)]
    if refused:
        for reason in refused:
            print(f"refused: {reason}", file=sys.stderr)
        return 2
    for note in _ignored(specs):
        print(f"note: {note}", file=sys.stderr)
    todo = [(job, spec) for job, spec in zip(jobs, specs, strict=True) if not spec.is_finished]
    unfinished = [spec for _, spec in todo]
    here = launcher.endswith("BasicLauncher")
    slots = slots_for(unfinished, jobs=specs[0].experiment.jobs) if here else None
    began = time.monotonic()
    print(*before_sweep(specs, unfinished, slots, launcher=launcher), sep="\n", file=sys.stderr, flush=True)
    if slots is not None:
        failures = [failure_of(spec) for spec in run_all(unfinished, slots)]
    else:
        failures = launch(todo, results=results) if todo else []
    for evaluation in dict.fromkeys(each.name for spec in specs for each in spec.evaluations):
        rows = [row for spec in specs for row in spec.rows(evaluation)]
        print_main_table(results, rows, evaluation=evaluation)
    sys.stdout.flush()
    seconds = time.monotonic() - began
    print(*after_sweep(specs, failures, seconds=seconds, command=command), sep="\n", file=sys.stderr)
    return 1 if failures else 0


def _specs_of(overrides: list[str], *, multirun: bool) -> tuple[list[list[str]], list[RunSpec], list[str], str]:
    """The jobs of a command line that differ, the spec of each, why any is refused, and which launcher they name.

    Jobs of one run are one spec, which evaluates what any of them asks for: two tasks that share their training, two
    evaluations, two names of one method.
    """
    register()
    jobs: list[list[str]] = []
    specs: list[RunSpec] = []
    reasons: dict[str, list[str]] = {}
    launcher = "BasicLauncher"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for job in jobs_of(overrides, multirun=multirun):
            try:
                spec = spec_of_job(job)
                launcher = str(HydraConfig.get().launcher._target_)
                check_cluster(launcher)
                spec.check()
                if launcher.endswith("BasicLauncher"):
                    check_gpu(spec.experiment.model)
                same = next((place for place, other in enumerate(specs) if other.key == spec.key), None)
                if same is None:
                    specs.append(spec)
                    jobs.append(job)
                else:
                    specs[same] = merged(specs[same], spec)
            except ValueError as error:
                reasons.setdefault(str(error), []).append(" ".join(job))
    return jobs, specs, _grouped(reasons), launcher


def _read_by_none(specs: Sequence[RunSpec]) -> list[str]:
    keys = set.intersection(*(set(spec.ignored) for spec in specs))
    methods = ", ".join(dict.fromkeys(spec.key.method for spec in specs))
    return [f"{key} is read by no method of this sweep ({methods}): leave it out" for key in sorted(keys)]


def _ignored(specs: Sequence[RunSpec]) -> list[str]:
    """A line for each key of the command line that some methods do not read."""
    methods: dict[str, dict[str, None]] = {}
    for spec in specs:
        for key in spec.ignored:
            methods.setdefault(key, {})[spec.key.method] = None
    return [f"{key} is not read by {', '.join(names)}" for key, names in methods.items()]


def _grouped(reasons: Mapping[str, Sequence[str]]) -> list[str]:
    """Each reason once, after the jobs that it refuses: the job if it is one, otherwise how many and the first."""
    return [
        f"{refused[0]}: {reason}"
        if len(refused) == 1 and refused[0]
        else f"{reason} (refuses {len(refused)} jobs, first {refused[0]})"
        if len(refused) > 1
        else reason
        for reason, refused in reasons.items()
    ]


def _record(specs: Sequence[RunSpec], results: Path) -> None:
    """Leave word of what was planned, so that a report can say what is missing."""
    sweeps = results / "sweeps"
    runs = [
        asdict(row) | ({} if row == spec.key else {"trained_on": spec.key.task})
        for spec in specs
        for row in spec.rows()
    ]
    path = sweeps / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000:06d}.json"
    try:
        sweeps.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"runs": runs}, indent=2), encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"results folder {results} cannot be written ({error}); set results=<another folder>"
        ) from None


def _command(arguments: Sequence[str]) -> str:
    return shlex.join(["python", "bench/run.py", *arguments])


def _only_shown(_: object) -> None:
    """For --help, --cfg and --info, by which Hydra shows a configuration and runs nothing."""
    raise SystemExit("bench/run.py takes key=value, -m for a sweep, and --help")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
