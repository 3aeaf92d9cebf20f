"""What runs side by side on which machine, how long it will take, and what a sweep says of itself."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.conduct import conduct
from bench.experiment import RunSpec
from bench.grading.verifier import Grading
from bench.launch.announce import after_sweep, before_sweep
from bench.launch.catalogue import compose_spec
from bench.launch.forecast import Forecast, makespan
from bench.launch.pool import environment_of
from bench.launch.slots import Slot, Slots
from bench.machine import visible_gpus
from bench.methods.score import stage1
from bench.models.config import Transformers
from bench.runs.manifest import Manifest, write_manifest
from bench.status import Status, Work
from bench.training.stages import Imitate
from bench.training.work_left import WorkLeft, planned_work
from tests.made_results import MANIFEST
from tests.test_experiment import scripted


def nothing(_: Sequence[str]) -> str:
    return ""


def planned(results: Path, *overrides: str) -> RunSpec:
    return compose_spec([f"results={results}", "tracking=none", *overrides])


def taken(slots: Slots, *kinds: bool) -> list[str | None]:
    """The GPU of each experiment that may start, of those that use one (True) or none (False)."""
    given = [slots.take(uses_gpu=kind) for kind in kinds]
    return [slot.gpu for slot in given if slot is not None]


def test_experiments_on_the_cpu_run_one_per_core_also_beside_a_gpu():
    slots = Slots(num_on_gpu=0, num_on_cpu=9, gpus=["0"], num_cores=4, jobs=0)
    assert taken(slots, *[False] * 9) == [None] * 4


def test_experiments_on_a_gpu_get_one_each_and_the_others_wait():
    slots = Slots(num_on_gpu=5, num_on_cpu=0, gpus=["2", "7"], num_cores=16, jobs=0)
    assert taken(slots, *[True] * 5) == ["2", "7"]
    assert slots.cores_each == 8


def test_in_a_mixed_sweep_both_kinds_run_and_a_core_stays_for_each_gpu():
    slots = Slots(num_on_gpu=3, num_on_cpu=9, gpus=["0"], num_cores=4, jobs=0)
    assert taken(slots, True, True, *[False] * 9) == ["0", None, None, None]


def test_jobs_bounds_both_kinds_together_and_a_place_given_back_is_taken_again():
    slots = Slots(num_on_gpu=2, num_on_cpu=2, gpus=["0"], num_cores=4, jobs=1)
    first = slots.take(uses_gpu=True)
    assert first is not None
    assert slots.take(uses_gpu=False) is None
    slots.give_back(first)
    assert slots.take(uses_gpu=False) == Slot(None, cores=4)


def test_without_a_gpu_everything_computes_on_the_cpu():
    assert taken(Slots(num_on_gpu=3, num_on_cpu=1, gpus=[], num_cores=2, jobs=0), True, False, True) == [None, None]


def test_the_users_mask_is_believed_before_anything_is_asked(tmp_path: Path):
    (tmp_path / "proc/driver/nvidia/gpus/0000:01").mkdir(parents=True)
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3, 5"}, root=tmp_path, ask=nothing) == ("3", "5")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, root=tmp_path, ask=nothing) == ()
    assert visible_gpus({}, root=tmp_path, ask=nothing) == ("0",)


def test_without_the_drivers_files_nvidia_smi_counts_the_gpus(tmp_path: Path):
    listed = "GPU 0: A (UUID: x)\n  MIG 1g Device 0: (UUID: y)\nGPU 1: A (UUID: z)\n"
    assert visible_gpus({}, root=tmp_path, ask=lambda command: listed if command[0] == "nvidia-smi" else "") == (
        "0",
        "1",
    )


@pytest.mark.parametrize("device", ["dev/dxg", "dev/kfd"])
def test_where_only_a_device_shows_a_gpu_torch_is_asked_in_another_process(device: str, tmp_path: Path):
    (tmp_path / device).parent.mkdir()
    (tmp_path / device).touch()
    assert visible_gpus({}, root=tmp_path, ask=lambda command: "2\n" if "-c" in command else "") == ("0", "1")
    assert visible_gpus({}, root=tmp_path, ask=nothing) == ()


def test_an_experiment_sees_its_own_gpu_and_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    environment = environment_of(Slot("3", cores=4), alone=False)
    assert environment["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment["OMP_NUM_THREADS"] == "4"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert environment_of(Slot(None, cores=4), alone=False)["OMP_NUM_THREADS"] == "2"


def test_a_model_on_the_cpu_uses_no_gpu_and_one_that_names_an_index_is_refused(tmp_path: Path):
    assert not Transformers(path=str(tmp_path), device="cpu").uses_gpu
    assert Transformers(path=str(tmp_path), device="auto").uses_gpu
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES=1"):
        Transformers(path=str(tmp_path), device="cuda:1").check()


def test_graders_take_as_many_workers_as_they_are_given():
    assert Grading(workers=3).num_workers == 3
    assert Grading().num_workers >= 1


@pytest.mark.parametrize(("sample", "learn"), [(1.0, 1.0), (3.0, 1.0), (1.0, 3.0)])
@pytest.mark.parametrize("kept", [1.0, 0.4])
@pytest.mark.parametrize("supervised", [False, True])
def test_the_time_left_is_right_within_a_factor_of_three(
    sample: float, learn: float, kept: float, supervised: bool, tmp_path: Path
):
    """A training of 3,000 conversations that takes its time, and says where it stands as a real one does."""
    spec = planned(tmp_path, "method=score")
    config = spec.experiment.training
    config.rl.problems_per_step, config.rl.group_size = 25, 4
    config.sft.batch_size, config.sft.num_epochs = 50, 1
    now = 0.0
    forecast = Forecast(places=1, clock=lambda: now)
    forecast.start(spec)
    said = WorkLeft(config, {}, trains=True, tell=lambda status: forecast.tell(spec, status))
    guesses: list[tuple[float, float | None]] = []
    if supervised:
        imitation = Imitate(
            name="fit", num_conversations=3000, choose=lambda episodes, _: episodes, advantages=lambda _: (0, 1)
        )
        said.expect(planned_work([imitation], config))
        said("fit", 0, 3000, Work.sample)
        now = 3000 * sample
        said("fit", 3000, 3000, Work.sample)
        num_batches = round(3000 * kept / 50)
        for done in range(num_batches):
            said("fit", done, num_batches, Work.learn)
            guesses.append((now, forecast.seconds_left([])))
            now += 50 * learn
    else:
        said.expect(planned_work([stage1(config, num_steps=30)], config))
        said("stage1", 0, 30, Work.step)
        for done in range(30):
            now += 100 * (sample + learn)
            said("stage1", done + 1, 30, Work.step)
            guesses.append((now, forecast.seconds_left([])))
    printed = [(now - when, guess) for when, guess in guesses[1:-1]]
    assert len(printed) > 10
    assert all(guess is not None and left / 3.01 <= guess <= left * 3.01 for left, guess in printed), printed


def test_what_is_left_is_the_stages_and_evaluations_that_are_to_come(tmp_path: Path):
    spec = planned(tmp_path, "method=star")
    heard: list[Status] = []
    config = spec.experiment.training
    left = WorkLeft(config, {"greedy": 200}, trains=True, tell=heard.append)
    left("loading the model", 0, 0, None)
    left.expect({(Work.sample, "a"): 40, (Work.learn, "b"): 40, (Work.step, "c"): 60})
    left("a", 10, 40, Work.sample)
    left("b", 1, 3, Work.learn)
    left("c", 2, 3, Work.step)
    left("greedy", 50, 100, Work.evaluate)
    told = [(status.phase, status.done, status.total, status.work) for status in heard]
    assert told == [
        ("loading the model", 0, 0, None),
        ("a", 10, 40, Work.sample),
        ("b", 1, 3, Work.learn),
        ("c", 2, 3, Work.step),
        ("greedy", 50, 100, Work.evaluate),
    ]
    after_training = {Work.sample: 0, Work.learn: 0, Work.step: 0}
    assert [status.left for status in heard] == [
        {},
        {Work.sample: 30, Work.learn: 40, Work.step: 60, Work.evaluate: 200},
        {Work.sample: 0, Work.learn: 2 * config.sft.batch_size, Work.step: 60, Work.evaluate: 200},
        {Work.sample: 0, Work.learn: 0, Work.step: 20, Work.evaluate: 200},
        {**after_training, Work.evaluate: 100},
    ]


def test_nothing_is_guessed_before_a_pace_is_known_and_waiting_runs_count(tmp_path: Path):
    now = 0.0
    forecast = Forecast(places=1, clock=lambda: now)
    base, score = planned(tmp_path, "method=base"), planned(tmp_path, "method=score")
    forecast.start(base)
    assert forecast.seconds_left([score]) is None
    forecast.tell(base, Status("greedy", 0, 10, Work.evaluate, {Work.evaluate: 10}))
    now = 5.0
    forecast.tell(base, Status("greedy", 5, 10, Work.evaluate, {Work.evaluate: 5}))
    assert forecast.seconds_left([]) == 5
    assert forecast.seconds_left([planned(tmp_path, "method=base", "seed=1", "task.num_test=10")]) == 15


def trained(forecast: Forecast, plan: RunSpec, clock: list[float], *, step: float, evaluate: float) -> None:
    """A whole run: 2 s to load, 100 pieces of each kind at so many seconds a piece, 3 s to end."""
    forecast.start(plan)
    clock[0] += 2.0
    forecast.tell(plan, Status("stage1", 0, 1, Work.step, {Work.step: 100, Work.evaluate: 100}))
    clock[0] += 100 * step
    forecast.tell(plan, Status("stage1", 1, 1, Work.step, {Work.step: 0, Work.evaluate: 100}))
    forecast.tell(plan, Status("greedy", 0, 1, Work.evaluate, {Work.evaluate: 100}))
    clock[0] += 100 * evaluate
    forecast.tell(plan, Status("greedy", 1, 1, Work.evaluate, {Work.evaluate: 0}))
    clock[0] += 3
    forecast.finish(plan, succeeded=True)


def test_an_evaluations_pace_is_not_taken_for_trainings(tmp_path: Path):
    clock = [0.0]
    forecast = Forecast(places=1, clock=lambda: clock[0])
    trained(forecast, planned(tmp_path, "method=score"), clock, step=10.0, evaluate=0.01)
    other = planned(tmp_path, "method=score", "seed=1", "training.alpha=5", "variant=other")
    forecast.start(other)
    forecast.tell(other, Status("stage1", 0, 1, Work.step, {Work.step: 100, Work.evaluate: 100}))
    assert forecast.seconds_left([]) == pytest.approx(1001 + 3)


def test_a_run_that_waits_is_given_what_others_took_to_load_and_to_end(tmp_path: Path):
    clock = [0.0]
    forecast = Forecast(places=1, clock=lambda: clock[0])
    trained(forecast, planned(tmp_path, "method=score"), clock, step=1.0, evaluate=2.0)
    assert forecast.seconds_left([planned(tmp_path, "method=base", "task.num_test=100")]) == pytest.approx(
        2 + 100 * 2.0 + 3
    )


def test_a_pace_that_was_never_seen_is_judged_by_another_kind_of_work(tmp_path: Path):
    clock = [0.0]
    forecast = Forecast(places=1, clock=lambda: clock[0])
    trained(forecast, planned(tmp_path, "method=score"), clock, step=4.0, evaluate=1.0)
    supervised = planned(tmp_path, "method=star")
    forecast.start(supervised)
    left = {Work.sample: 10, Work.learn: 10, Work.evaluate: 10}
    forecast.tell(supervised, Status("star/1/collect", 0, 1, Work.sample, left))
    assert forecast.seconds_left([]) == pytest.approx(10 * 2 + 10 * 2 + 10 * 1 + 3)


def test_earlier_runs_of_other_methods_in_the_same_folder_give_the_first_estimate(tmp_path: Path):
    plan = planned(tmp_path, "method=score")
    assert Forecast(places=1).seconds_left([plan]) is None
    usage = {**MANIFEST["usage"], "sampled_episodes": 3840}
    cost = MANIFEST | {"usage": usage, "training_seconds": 768.0, "seconds": 50.0}
    folder = planned(tmp_path, "method=star").key.folder(tmp_path) / "greedy"
    write_manifest(folder, Manifest(evaluation="greedy", num_problems=500, num_rows=500, **cost))
    rl = plan.experiment.training.rl
    conversations = rl.num_steps * rl.conversations_per_step
    evaluated = len(plan.task.problems("test")) * 50 / 500
    assert Forecast(places=1).seconds_left([plan]) == pytest.approx(evaluated + conversations * 768 / 3840)


def test_those_that_wait_take_the_first_place_that_is_free():
    assert makespan([10, 1], [5, 5], 2) == 11
    assert makespan([], [4, 4, 4], 2) == 8


def test_a_sweep_begins_with_what_is_planned_where_it_goes_and_how_much_runs_at_once(tmp_path: Path):
    plans = [planned(tmp_path, f"method={method}", f"seed={seed}") for method in ("base", "star") for seed in (0, 1)]
    slots = Slots(num_on_gpu=0, num_on_cpu=3, gpus=(), num_cores=2, jobs=0)
    printed = "\n".join(before_sweep(plans, plans[1:], slots))
    for part in ("4 runs planned", "2 methods: base, star", "1 of 4 runs were finished", str(tmp_path), "2 at once"):
        assert part in printed


def test_a_sweep_ends_with_what_failed_the_command_that_retries_and_what_to_do_next(tmp_path: Path):
    plans = [planned(tmp_path, f"method={method}") for method in ("base", "star")]
    printed = after_sweep(plans, [f"{plans[1].key} (why: x)"], seconds=100, command="python bench/run.py method=star")
    assert printed[0].startswith("0 of 2 runs done")
    assert printed[1] == f"failed: {plans[1].key} (why: x)"
    assert printed[2].endswith("python bench/run.py method=star")
    assert "report.py" not in "\n".join(printed)


def test_the_last_lines_say_where_conversations_lie_and_how_tables_are_made(tmp_path: Path):
    plan = scripted(tmp_path, "method=base")
    conduct(plan)
    printed = "\n".join(after_sweep([plan], [], seconds=1, command="python bench/run.py"))
    assert "1 of 1 run done" in printed
    assert f"report.py --html --results {tmp_path}" in printed
    assert f"{plan.key.folder(tmp_path)}/greedy/transcripts.jsonl.gz" in printed
