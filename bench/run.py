"""The door for experiments.

    python bench/run.py                                        the miniature: base, Pair-SFT and SCoRe on a CPU
    python bench/run.py -m method=score,pair_sft seed=0,1,2    a sweep
    python bench/run.py --help                                 every group and value

Hydra composes and checks the whole sweep first; only then does the first experiment start, each in its own process.
A finished run is not done again.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bench.catalogue import CONF, plan_of, register
from bench.experiment import Plan
from bench.pool import run_all
from bench.reporting.terminal import print_main_table

_MINIATURE = ("-m", "method=base,pair_sft,score")


class _Sweep:
    """What Hydra's jobs ask for: collected under its basic launcher; others run each job where it lands."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.refused: list[str] = []

    def take(self, composed: DictConfig) -> None:
        overrides = " ".join(HydraConfig.get().overrides.task)
        try:
            plan = plan_of(composed)
            plan.check()
            twins = [other for other in self.plans if other.key == plan.key]
            if any(other.config == plan.config for other in twins):
                return  # the same experiment by another name (SAME_TRAINING), or asked for twice
            if twins:
                raise ValueError(f"{plan.key} stands twice in this sweep; give one of them another variant=<name>")
        except (ValueError, OmegaConfBaseException) as error:
            self.refused.append(f"{overrides}: {error}" if overrides else str(error))
            return
        self.plans.append(plan)
        if not HydraConfig.get().launcher._target_.endswith("BasicLauncher"):
            self._run_elsewhere(plan)

    def run(self) -> int:
        """All that was collected; the exit code. Nothing runs if anything was refused."""
        if self.refused:
            for reason in self.refused:
                print(f"refused: {reason}", file=sys.stderr)
            return 2
        if not self.plans:
            return 0
        results = Path(self.plans[0].experiment.results)
        _record(self.plans, results)
        unfinished = [plan for plan in self.plans if not plan.is_finished]
        finished = len(self.plans) - len(unfinished)
        if finished:
            print(f"{finished} of {len(self.plans)} runs were finished before", file=sys.stderr)
        failed = run_all(unfinished, jobs=self.plans[0].experiment.jobs)
        print_main_table(results, [plan.key for plan in self.plans])
        for plan in failed:
            folder = plan.key.folder(results)
            print(f"failed: {plan.key} (why: {folder / 'failure.txt'})", file=sys.stderr)
        return 1 if failed else 0

    def _run_elsewhere(self, plan: Plan) -> None:
        """In a job of SLURM, Ray or joblib: run now. RuntimeError lets the launcher's other jobs go on."""
        self.plans.remove(plan)
        if not plan.is_finished and run_all([plan], jobs=1):
            raise RuntimeError(f"{plan.key} failed")


def _record(plans: list[Plan], results: Path) -> None:
    """Leave word of what was planned, so that a report can say what is missing."""
    sweeps = results / "sweeps"
    sweeps.mkdir(parents=True, exist_ok=True)
    runs = [
        {name: getattr(plan.key, name) for name in ("method", "task", "model", "variant", "seed")} for plan in plans
    ]
    path = sweeps / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000:06d}.json"
    path.write_text(json.dumps({"runs": runs}, indent=2), encoding="utf-8")


def main() -> int:
    if len(sys.argv) == 1:
        sys.argv += _MINIATURE
    register()
    sweep = _Sweep()
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="experiment")(sweep.take)()
    return sweep.run()


if __name__ == "__main__":
    sys.exit(main())
