"""What a command line would do, said instead of done: runs, stages, steps, samples and folders. Loads no model."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.experiment import RunSpec
from bench.training.stages import Imitate, Stage
from bench.training.values_read import planned_stages


def dry_run(specs: Sequence[RunSpec]) -> Iterator[str]:
    """A line per folder of runs (of one configuration but for the seed), then one per stage and evaluation."""
    finished = sum(spec.is_finished for spec in specs)
    yield f"{len(specs)} runs, of which {finished} are finished; nothing is run"
    for folder, group in groupby(specs, key=lambda spec: spec.key.folder(spec.results).parent):
        seeds = list(group)
        yield ""
        yield f"{folder}/seed{{{','.join(str(spec.key.seed) for spec in seeds)}}}"
        trained = " (done)" if seeds[0].trains and all(spec.is_trained for spec in seeds) else ""
        for stage in planned_stages(seeds[0].method.stages, seeds[0].task, seeds[0].experiment.training):
            yield f"  {stage.name:12} {_of_stage(stage, seeds[0])}{trained}"
        for each in seeds[0].evaluations:
            evaluation = each.evaluation
            problems = "all" if each.task.downloads else f"{len(each.problems):,}"
            samples = f"{evaluation.num_samples} conversations each, " if evaluation.num_samples > 1 else ""
            of = f"{problems} problems of the {evaluation.split} split"
            yield f"  {each.folder:12} evaluate   {of}, {samples}{evaluation.num_attempts} attempts"


def _of_stage(stage: Stage, spec: RunSpec) -> str:
    training = spec.experiment.training
    if isinstance(stage, Imitate):
        updates = f"{stage.num_updates:,} updates" if stage.num_updates else f"{training.sft.num_epochs} epochs"
        sampled = f"{stage.num_conversations:,} conversations"
        return f"imitate    {updates} over what is chosen of {sampled}, from the weights of: {stage.start_from}"
    sampled = f"{stage.num_steps * training.rl.conversations_per_step:,} conversations"
    return f"reinforce  {stage.num_steps:,} updates, {sampled} of {stage.num_attempts} attempts"
