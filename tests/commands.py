"""Commands as users type them, read by the parsers that will read them."""

import shlex

from hydra import initialize_config_dir

from bench.experiment import RunSpec
from bench.launch.catalogue import register, spec_of_job
from bench.launch.command_line import CONF, jobs_of


def plans_of(command: str) -> list[RunSpec]:
    """The specs that `python bench/run.py ...` stands for. Raises ValueError where it would be refused."""
    register()
    python, program, *arguments = shlex.split(command)
    assert (python, program) == ("python", "bench/run.py")
    overrides = [argument for argument in arguments if argument != "-m"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return [spec_of_job(job) for job in jobs_of(overrides, multirun=overrides != arguments)]
