"""Run folders: claims, crashes, readers."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench.episode import Episode
from bench.runs.finished import find_runs, load_episodes, log_of, training_data_of
from bench.runs.folder import Run, RunKey
from bench.runs.parts import write_rows
from bench.runs.records import answer_changed, episode_row, rows_of
from tests.made_episodes import attempt, episode
from tests.made_results import save_evaluation

KEY = RunKey(method="score", task="math", model="mini", variant="main", seed=0)
CONFIG = {"method": {"name": "score", "alpha": 10.0}, "seed": 0, "jobs": 2, "evaluations": {"greedy": {}}}


def touch(folder: Path) -> None:
    (folder / "state").touch()


def save(run: Run, *, problems: int = 3) -> None:
    episodes = [episode((place % 2, 1), problem=f"p{place}") for place in range(problems)]
    save_evaluation(run, "greedy", episodes, {e.problem.id: "?" for e in episodes}, {})


def test_what_was_saved_is_what_is_loaded(tmp_path: Path):
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        save(run)
    frame = load_episodes(tmp_path)
    assert frame[["method", "seed", "problem_id", "grade_1", "grade_2"]].values.tolist() == [
        ["score", 0, "p0", "wrong", "correct"],
        ["score", 0, "p1", "correct", "correct"],
        ["score", 0, "p2", "wrong", "correct"],
    ]


def test_another_configuration_is_refused_by_the_name_of_what_differs(tmp_path: Path):
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        run.log(update=1)
    other = {**CONFIG, "method": {"name": "score", "alpha": 1.0}}
    with pytest.raises(ValueError, match=r"differs in method\.alpha; set variant="), Run.lock(KEY, tmp_path, other):
        pass
    with pytest.raises(ValueError, match=r"method\.alpha"):
        Run.check(KEY, tmp_path, other)


def test_a_run_that_has_produced_nothing_claims_nothing(tmp_path: Path):
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        run.bind({"weights": "a", "training problems": "b"})
        (run.folder / "failure.txt").write_text("ValueError")
    other = {**CONFIG, "method": {"name": "score", "alpha": 1.0}}
    with Run.lock(KEY, tmp_path, other) as run:
        run.bind({"weights": "a", "training problems": "others"})
        run.log(update=1)
    Run.check(KEY, tmp_path, other)
    with pytest.raises(ValueError, match=r"method\.alpha"):
        Run.check(KEY, tmp_path, CONFIG)


def with_model(**model: object) -> dict:
    return {**CONFIG, "model": {"name": "X", "path": "Qwen/X", "dtype": "float32", "train_batch_tokens": 64, **model}}


def test_what_changes_memory_or_speed_alone_may_differ(tmp_path: Path):
    with Run.lock(KEY, tmp_path, with_model()) as run:
        run.log(update=1)
    quick = with_model(train_batch_tokens=8, sample_batch_tokens=8, device="cuda", threads=4)
    quick |= {"jobs": 8, "evaluations": {"greedy": {}, "sampled": {}}, "tracking": "none"}
    with Run.lock(KEY, tmp_path, quick):
        pass
    assert json.loads((run.folder / "config.json").read_text())["model"]["train_batch_tokens"] == 8
    with pytest.raises(ValueError, match=r"differs in model\.dtype"):
        Run.check(KEY, tmp_path, with_model(dtype="bfloat16"))


def test_two_models_of_a_hub_that_share_a_name_do_not_share_a_folder(tmp_path: Path):
    with Run.lock(KEY, tmp_path, with_model()) as run:
        run.log(update=1)
    with pytest.raises(ValueError, match=r"unsloth/X would share its name; set model\.name=<name>"):
        Run.check(KEY, tmp_path, with_model(path="unsloth/X"))


@pytest.mark.parametrize(("changed", "hint"), [("weights", "model.name="), ("training problems", "variant=")])
def test_a_folder_made_from_other_weights_or_data_is_refused(changed: str, hint: str, tmp_path: Path):
    inputs = {"weights": "a", "training problems": "b"}
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        run.bind(inputs)
        run.log(update=1)
        run.bind(inputs)
    with Run.lock(KEY, tmp_path, CONFIG) as run, pytest.raises(ValueError, match=f"from other {changed} .* {hint}"):
        run.bind({**inputs, changed: "others"})


def test_two_processes_cannot_hold_one_folder(tmp_path: Path):
    with (
        Run.lock(KEY, tmp_path, CONFIG),
        pytest.raises(ValueError, match=r"process \d+ on .* is working in .*; wait for it, end it, or set"),
        Run.lock(KEY, tmp_path, CONFIG),
    ):
        pass


def test_a_results_folder_that_cannot_be_written_is_refused_with_a_hint(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ValueError, match="set results="):
        Run.check(KEY, blocked, CONFIG)
    with pytest.raises(ValueError, match="set results="), Run.lock(KEY, blocked, CONFIG):
        pass


def test_an_evaluation_without_manifest_is_not_finished(tmp_path: Path):
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        save(run)
        (run.folder / "greedy" / "manifest.json").unlink()
        assert run.manifest("greedy") is None
    assert load_episodes(tmp_path).empty


def test_episodes_that_disagree_with_their_manifest_are_refused(tmp_path: Path):
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        save(run)
        path = run.folder / "greedy" / "episodes.parquet"
        pd.read_parquet(path).head(2).to_parquet(path)
    with pytest.raises(ValueError, match="2 episodes where the manifest says 3"):
        load_episodes(tmp_path)


@pytest.mark.parametrize(("version", "hint"), [(99, "update the code"), (1, "run again with another results=")])
def test_results_of_a_later_or_an_earlier_version_are_refused_with_a_hint(version: int, hint: str, tmp_path: Path):
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        save(run)
        path = run.folder / "greedy" / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": version}))
    with pytest.raises(ValueError, match=hint):
        load_episodes(tmp_path)


def test_a_torn_last_line_of_the_log_is_left_out(tmp_path: Path):
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        run.log(update=1, loss=0.5)
        run.log(update=2, loss=0.4)
        with (run.folder / "train.jsonl").open("a") as log:
            log.write('{"update": 3, "lo')
    assert log_of(find_runs(tmp_path)[0])["loss"].tolist() == [0.5, 0.4]


def test_a_checkpoint_replaces_the_one_before_it(tmp_path: Path):
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        for update in (10, 20):
            run.save_progress(touch, {"reached": update}, update=update)
        assert run.progress is not None
        assert run.progress["reached"] == 20
        assert [path.name for path in (run.folder / "state").iterdir() if path.is_dir()] == ["update20"]


def test_a_crash_between_checkpoints_leaves_the_older_one(tmp_path: Path):
    def crash(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with Run.lock(KEY, tmp_path, CONFIG) as run:
        run.save_progress(touch, {"reached": 10}, update=10)
        with pytest.raises(OSError, match="No space left"):
            run.save_progress(crash, {"reached": 20}, update=20)
        assert run.progress is not None
        assert run.progress["reached"] == 10
        assert (run.state_folder / "state").exists()


@pytest.mark.parametrize(
    ("second", "indel", "levenshtein"),
    [
        # One substitution: two of eight characters as a deletion and an insertion, one of four as itself.
        ("abXd", 2 / 8, 1 / 4),
        # Nothing in common: nine characters go or come, or four are substituted and one is inserted.
        ("xyzwv", 9 / 9, 5 / 5),
        # Two insertions: two of ten, two of six.
        ("abcdef", 2 / 10, 2 / 6),
        # A substitution and an insertion: three of nine, two of five.
        ("aXcde", 3 / 9, 2 / 5),
    ],
)
def test_edit_ratios_are_distances_over_lengths(second: str, indel: float, levenshtein: float):
    attempts = (attempt(correct=False, text="abcd"), attempt(correct=True, text=second))
    row = episode_row(replace(episode((0, 1)), replies=attempts))
    assert (row["edit_indel_2"], row["edit_levenshtein_2"]) == pytest.approx((indel, levenshtein))
    assert row["changed_2"]


def test_an_answer_has_changed_when_its_words_have():
    one = attempt(correct=True, text="1 / 2")
    assert not answer_changed(one, attempt(correct=True, text="1  /\n2"))
    assert answer_changed(one, attempt(correct=True, text="1 / 3"))


class Watched(Sequence[Episode]):
    """Episodes that are made when they are asked for, as a collection's; `most` of them were asked for at once."""

    def __init__(self, length: int) -> None:
        self.length, self.most = length, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index):
        numbers = range(self.length)[index]
        if isinstance(numbers, int):
            raise AssertionError("one by one, rows would be slow to write")
        self.most = max(self.most, len(numbers))
        return [episode((number % 3 == 0, 1), problem=f"p{number}") for number in numbers]


def test_training_data_is_written_without_all_of_its_rows_in_memory(tmp_path: Path):
    episodes = Watched(2500)
    with Run.lock(KEY, tmp_path, CONFIG) as run:
        run.save_training_data("star/1", episodes, num_attempts=2)
    assert 0 < episodes.most <= 1024
    frame = training_data_of(find_runs(tmp_path)[0])
    assert frame is not None
    assert frame["problem_id"].tolist() == [f"p{number}" for number in range(2500)]
    assert (frame["grade_1"] == "correct").tolist() == [number % 3 == 0 for number in range(2500)]


def test_a_column_has_one_type_whatever_it_holds_so_that_files_can_be_joined(tmp_path: Path):
    answered, silent = episode((0, 1)), episode((0, 1))
    nothing = [replace(each, verdict=replace(each.verdict, answer=None)) for each in silent.attempts]
    silent = replace(silent, replies=tuple(nothing))
    assert rows_of([answered], num_attempts=2).schema == rows_of([silent], num_attempts=2).schema
    write_rows(tmp_path / "rows", [rows_of([each], num_attempts=2) for each in (silent, answered)])
    assert pd.read_parquet(tmp_path / "rows")["answer_1"].fillna("nothing").tolist() == ["nothing", "wrong"]


def test_every_fact_of_a_row_has_a_column():
    recorded = attempt(correct=True)
    recorded = replace(recorded, completion=replace(recorded.completion, recorded=True))
    with_recorded = replace(episode((1, 1, 0)), replies=(recorded, recorded, attempt(correct=False)))
    assert rows_of([with_recorded], num_attempts=3).to_pylist() == [episode_row(with_recorded)]
