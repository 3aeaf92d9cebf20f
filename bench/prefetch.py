"""Download what a sweep needs, for machines without internet: models and data sets, into the hub's usual cache.

python bench/prefetch.py -m method=base,score task=math,mbpp model=qwen2.5-1.5b-instruct    as for bench/run.py

Exit codes: 0 everything is there, 2 refused or not to be had.
"""

import sys
from collections.abc import Iterator, Sequence

from bench.experiment import RunSpec
from bench.launch.catalogue import plans_of
from bench.models.config import Transformers
from bench.models.download import download
from bench.tasks.interface import training_task
from bench.tasks.shared import Published

_SWEEP = ("-m", "--multirun")


def main(arguments: Sequence[str]) -> int:
    overrides = [word for word in arguments if word not in _SWEEP]
    try:
        specs = plans_of(overrides, multirun=len(overrides) < len(arguments))
        lines = list(dict.fromkeys(line for spec in specs for line in fetched(spec)))
    except ValueError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    print(*(lines or ["nothing to download: models and data are local, generated or served"]), sep="\n")
    if lines:
        print("without internet, HF_HUB_OFFLINE=1 before bench/run.py reads them from the cache (HF_HOME says where)")
    return 0


def fetched(spec: RunSpec) -> Iterator[str]:
    """A line for each model and data set of an experiment, once it is in the cache."""
    model = spec.experiment.model
    if isinstance(model, Transformers) and model.hub_id:
        model.check()
        copy = download(model.hub_id, revision=model.revision)
        yield f"model  {model.hub_id}  revision {copy.revision}  {size(copy.num_bytes)}"
    trains = spec.trains or any(each.evaluation.split != "test" for each in spec.evaluations)
    for task in (*spec.tasks, *(training_task(task) for task in spec.tasks if trains)):
        if isinstance(task, Published) and task.downloads:
            rows = ", ".join(f"{len(records):,} {split}" for split, records in task.hub.splits.items())
            found = f"revision {task.hub.revision}" if task.hub.revision else "no revision"
            yield f"data   {task.hub_id}  {found}  {size(task.hub.num_bytes)}  rows: {rows}"


def size(num_bytes: int) -> str:
    """In the unit that leaves at least one digit before the point."""
    unit = min(3, max(1, (len(str(num_bytes)) - 1) // 3))
    return f"{num_bytes / 1000**unit:.1f} {' kMG'[unit]}B"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
