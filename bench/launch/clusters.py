"""A sweep through one of Hydra's launchers (SLURM, Ray, joblib): planned here, run where the launcher puts it.

Hydra by itself composes such jobs on their way out and keeps what they return; here everything is composed, checked
and recorded first, and a job that was refused or failed is counted as failed.
"""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from bench.experiment import RunSpec
from bench.launch.command_line import CONF
from bench.launch.pool import run_all, slots_for


def launch(jobs: Sequence[tuple[Sequence[str], RunSpec]], *, results: Path) -> list[str]:
    """Run every spec as a job of the launcher that the overrides beside it name; what went wrong, a line each.

    Blocks until the launcher has finished. Its own logs go to `results`/sweeps/logs where it lets them be placed.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("experiment", list(jobs[0][0]), RunMode.MULTIRUN)
        launcher = config.hydra.launcher
        folder = OmegaConf.to_container(launcher, resolve=False).get("submitit_folder")  # pyright: ignore
        if folder == "${hydra.sweep.dir}/.submitit/%j":
            with open_dict(launcher):
                launcher.submitit_folder = str(results / "sweeps" / "logs" / "%j")
        try:
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            started = Plugins.instance().instantiate_launcher(
                hydra_context=context,
                task_function=partial(conduct_job, specs=[spec for _, spec in jobs]),
                config=config,
            )
            # The master configuration holds what a launcher passes on to every job of its own accord.
            config.hydra.overrides.hydra = []
            returned = started.launch([list(overrides) for overrides, _ in jobs], initial_job_idx=0)
        except Exception as error:  # a plugin may raise anything, and what it says is all that is known
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return [f"{launcher._target_.rpartition('.')[2]}: {said}; without hydra/launcher=... the sweep runs here"]
    return [line for one in returned if (line := one._return_value if one.status.name == "COMPLETED" else _died(one))]


def check_cluster(launcher: str) -> None:
    """Raise ValueError if `launcher`, a class's full name, is SLURM's and this machine belongs to no SLURM cluster."""
    if launcher.endswith(".SlurmLauncher") and shutil.which("srun") is None:
        raise ValueError(
            "there is no srun here, so this machine belongs to no SLURM cluster: run the command on its login node, or "
            "leave out hydra/launcher=submitit_slurm to run here"
        )


def conduct_job(config: DictConfig, *, specs: Sequence[RunSpec]) -> str:  # noqa: ARG001  what Hydra passes
    """In the job: run it now. Returns what went wrong, empty where nothing did.

    `specs` are the whole sweep's, as planned: what is composed here again of the job's own overrides would lack the
    evaluations that other jobs' add to its run.
    """
    spec = specs[HydraConfig.get().job.num]
    try:
        spec.check()
    except ValueError as error:
        return str(error)
    return "" if spec.is_finished or not run_all([spec], slots_for([spec], jobs=1)) else failure_of(spec)


def failure_of(spec: RunSpec) -> str:
    return f"{spec.key} (why: {spec.failure_file})"


def _died(returned: object) -> str:
    error = getattr(returned, "_return_value", None)
    return f"{' '.join(getattr(returned, 'overrides', None) or [])}: {type(error).__name__}: {error}"
