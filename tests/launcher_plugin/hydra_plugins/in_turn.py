"""hydra/launcher=in_turn: every job here, one after another, for testing what all launchers share."""

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

ConfigStore.instance().store(
    group="hydra/launcher", name="in_turn", node={"_target_": "hydra_plugins.in_turn.InTurnLauncher"}
)


class InTurnLauncher(Launcher):
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._given: dict[str, Any] = {"hydra_context": hydra_context, "task_function": task_function}
        self._context, self._config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        setup_globals()
        return [
            run_job(
                **self._given,
                config=self._context.config_loader.load_sweep_config(self._config, list(overrides)),
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            for overrides in job_overrides
        ]
