"""Runs that cannot be compared stand in rows of their own, with a sentence on what keeps them apart."""

import json
from pathlib import Path

from bench.reporting.claims import findings
from bench.reporting.index import base_of, read_index
from bench.reporting.tables import setting_notes
from tests.made_results import make_run


def rows(folder: Path) -> dict[tuple[str, str], list[int]]:
    results = read_index(folder, evaluation="greedy").results
    return {(each.setting.label, each.method): each.seeds for each in results}


def notes(folder: Path) -> str:
    return setting_notes(read_index(folder, evaluation="greedy").results)


def test_runs_alike_in_both_fingerprints_are_one_row(tmp_path: Path):
    for seed in (0, 1):
        make_run(tmp_path, "score", seed)
    assert rows(tmp_path) == {("mini_math · mini", "score"): [0, 1]}
    assert "kept apart" not in notes(tmp_path)


def test_seeds_that_differ_in_a_hyperparameter_in_data_and_in_split_size_are_rows_apart(tmp_path: Path):
    for seed in (0, 1):
        make_run(tmp_path, "base", seed)
        make_run(tmp_path, "score", seed)
    make_run(tmp_path, "score", 2, row={"training": {"alpha": 0}})
    make_run(tmp_path, "score", 3, table={"problems": {"num": 60, "digest": "other"}})
    make_run(tmp_path, "score", 4, num_problems=50)
    found = rows(tmp_path)
    assert found["mini_math · mini", "score"] == [0, 1]
    assert sorted(found.values()) == [[0, 1], [0, 1], [2], [3], [4]]
    assert len({label for label, _ in found}) == 4
    sentence = notes(tmp_path)
    assert "training.alpha: 0 instead of 10" in sentence
    assert "problems.digest: other instead of 0" in sentence
    assert "problems.num: 50 instead of 60" in sentence
    assert findings(read_index(tmp_path, evaluation="greedy").results)


def test_a_part_is_compared_with_the_base_of_its_own_part_alone(tmp_path: Path):
    make_run(tmp_path, "base", 0)
    make_run(tmp_path, "score", 0)
    make_run(tmp_path, "score", 1, num_problems=50)
    results = read_index(tmp_path, evaluation="greedy").results
    bases = {each.setting.label: base_of(each, results) for each in results if each.method == "score"}
    assert bases["mini_math · mini"] is not None
    assert bases["mini_math · mini (b)"] is None


def test_a_result_folder_of_an_older_schema_is_left_out_by_name_and_the_others_are_reported(tmp_path: Path):
    make_run(tmp_path, "score", 0)
    path = make_run(tmp_path, "score", 1) / "greedy" / "manifest.json"
    path.write_text(json.dumps({"schema_version": 1, "num_rows": 60}))
    index = read_index(tmp_path, evaluation="greedy")
    assert [each.seeds for each in index.results] == [[0]]
    ((key, why),) = index.unreadable.items()
    assert key.seed == 1
    assert why == f"{path.parent} has schema version 1, this code reads 3: run again with another results=<folder>"


def test_no_two_parts_share_a_name_however_many_there_are(tmp_path: Path):
    for seed in range(29):
        make_run(tmp_path, "score", seed, num_problems=5, num_updates=0, row={"training": {"alpha": seed}})
    results = read_index(tmp_path, evaluation="greedy").results
    assert [each.seeds for each in results if len(each.seeds) > 1] == []
    assert len({each.setting.label for each in results}) == 29


def test_each_method_of_a_part_has_its_own_reason_and_a_run_both_of_its_differences(tmp_path: Path):
    for method in ("score", "star"):
        for seed in (0, 1):
            make_run(tmp_path, method, seed)
    make_run(tmp_path, "score", 2, row={"training": {"alpha": 0}})
    make_run(tmp_path, "star", 2, row={"method": {"num_iterations": 1}})
    make_run(tmp_path, "score", 3, num_problems=50)
    make_run(tmp_path, "score", 4, num_problems=50, row={"training": {"alpha": 3}})
    sentence = notes(tmp_path)
    assert "SCoRe differs in training.alpha: 0 instead of 10" in sentence
    assert "differs in method.num_iterations: 1 instead of None" in sentence
    assert "problems.num: 50 instead of 60, and in training.alpha: 3 instead of 10" in sentence


def test_of_equally_many_seeds_the_newest_stand_under_the_plain_name(tmp_path: Path):
    for seed, alpha, end in ((0, 10, "2026-01-02"), (1, 10, "2026-01-04"), (2, 5, "2026-01-01"), (3, 5, "2026-01-05")):
        make_run(tmp_path, "score", seed, row={"training": {"alpha": alpha}}, manifest={"end": end})
    make_run(tmp_path, "star", 0, num_problems=50, manifest={"end": "2026-01-01"})
    make_run(tmp_path, "star", 1, num_problems=60, manifest={"end": "2026-01-02"})
    found = rows(tmp_path)
    assert found["mini_math · mini", "score"] == [2, 3]
    assert found["mini_math · mini", "star"] == [1]


def test_a_made_run_keeps_what_it_is_not_sentence_to_change(tmp_path: Path):
    make_run(tmp_path, "score", 0)
    make_run(tmp_path, "score", 1, row={"training": {"alpha": 0}}, manifest={"end": "2026-01-01"})
    assert "SCoRe differs in training.alpha: 10 instead of 0." in notes(tmp_path)
