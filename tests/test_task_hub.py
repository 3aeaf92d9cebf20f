"""Data sets of a hub, through the real `datasets` library: copies in the hub's own layout, and no network."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tests.tasks_in_conf as conf
from bench.conduct import conduct
from bench.data_files import read_records
from bench.launch.catalogue import compose_spec
from bench.runs.finished import find_runs
from bench.tasks.hub import hub_data

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Rows = Sequence[Mapping[str, Any]]


def math_rows(split: str, num: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "problem": f"What is {number} + {len(split)}?",
            "solution": f"It is $\\boxed{{{number + len(split)}}}$.",
            "answer": str(number + len(split)),
            "subject": "Algebra",
            "level": 1 + number % 5,
            "unique_id": f"{split}/algebra/{number}.json",
        }
        for number in range(num)
    ]


def mbpp_rows(ids: Sequence[int], *, sanitized: bool = False) -> list[dict[str, Any]]:
    rows = []
    for number in ids:
        text, code = f"Write a function that adds {number}.", f"def f(x):\r\n    return x + {number}"
        tests = [f"assert f({x}) == {x + number}" for x in range(3)]
        if sanitized:
            rows.append({"source_file": "x.ipynb", "task_id": number, "prompt": text, "code": code})
            rows[-1] |= {"test_imports": ["import math"], "test_list": tests}
        else:
            rows.append({"task_id": number, "text": text, "code": code, "test_list": tests})
            rows[-1] |= {"test_setup_code": "", "challenge_test_list": []}
    return rows


def mbpp_splits(*, sanitized: bool = False) -> dict[str, Rows]:
    ids = {"train": (601, 603), "test": (11, 12), "validation": (511,), "prompt": (2, 3, 4)}
    return {split: mbpp_rows(numbers, sanitized=sanitized) for split, numbers in ids.items()}


HUMANEVAL = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def f{number}(x: int) -> int:\n    """Add {number}."""\n',
        "canonical_solution": f"    return x + {number}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
        "entry_point": f"f{number}",
    }
    for number in range(2)
]


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def published(folder: Path, configs: Mapping[str, Mapping[str, Rows]]) -> str:
    """A data set as a hub lays it out: parquet files in a folder per configuration, named by the card's header."""
    card = ["---", "configs:"]
    for config, splits in configs.items():
        card += [f"- config_name: {config}", "  data_files:"]
        (folder / config).mkdir(parents=True)
        # One schema for all splits: a list that is empty in all rows of one would have no type.
        schema = pa.Table.from_pylist([dict(row) for rows in splits.values() for row in rows]).schema
        for split, rows in splits.items():
            table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
            pq.write_table(table, folder / config / f"{split}-0.parquet")
            card += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    return str(folder)


def written(path: Path, rows: Rows) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_math_data_set_gives_the_problems_of_the_same_rows_in_files(tmp_path: Path) -> None:
    train, test = math_rows("train"), math_rows("test")
    hub = conf.math(source="hub", hub_id=published(tmp_path / "hub", {"default": {"train": train, "test": test}}))
    written(tmp_path / "local" / "math500.jsonl", test)
    written(tmp_path / "local" / "train12k.jsonl", train)
    local = conf.math(source="local", path=str(tmp_path / "local"))
    hub.check()
    for split in ("train", "test"):
        assert hub.problems(split) == local.problems(split)
    assert hub.revisions() == {}  # a folder has no commit


def test_a_data_set_without_a_train_split_is_a_test_split_without_training_problems(tmp_path: Path) -> None:
    hub = conf.math(source="hub", hub_id=published(tmp_path / "hub", {"default": {"test": math_rows("test", 500)}}))
    assert len(hub.problems("test")) == 500
    with pytest.raises(ValueError, match="there are no train problems"):
        hub.problems("train")


@pytest.mark.parametrize("config", ["full", "sanitized"])
def test_an_mbpp_data_set_gives_the_problems_of_the_same_rows_in_a_file(config: str, tmp_path: Path) -> None:
    configs = {name: mbpp_splits(sanitized=name == "sanitized") for name in ("full", "sanitized")}
    hub = conf.mbpp(source="hub", hub_config=config, hub_id=published(tmp_path / "hub", configs))
    rows = [row for split in configs[config].values() for row in split]
    local = conf.mbpp(source="local", path=written(tmp_path / "local" / "mbpp.jsonl", rows))
    for split in ("train", "dev", "test"):
        assert hub.problems(split) == local.problems(split)
    problem = hub.problems("test")[0]
    assert hub.prompt(problem) == local.prompt(problem)


def test_humaneval_is_tested_and_mbpp_trained_on_from_two_data_sets(tmp_path: Path) -> None:
    hub = conf.humaneval(
        source="hub",
        hub_id=published(tmp_path / "humaneval", {"openai_humaneval": {"test": HUMANEVAL}}),
        training={"source": "hub", "hub_id": published(tmp_path / "mbpp", {"full": mbpp_splits()})},
    )
    file = written(tmp_path / "local" / "HumanEval.jsonl", HUMANEVAL)
    assert hub.problems("test") == conf.humaneval(source="local", path=file).problems("test")
    assert [problem.id for problem in hub.problems("train")] == ["mbpp/601", "mbpp/603"]


def test_the_whole_of_mbpp_is_the_same_from_a_hub_and_from_its_file(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "mbpp" / "mbpp.jsonl"
    ranges = {"prompt": range(1, 11), "test": range(11, 511), "validation": range(511, 601), "train": range(601, 975)}
    rows = [record.fields for record in read_records(file)]
    splits = {name: [row for row in rows if row["task_id"] in ids] for name, ids in ranges.items()}
    hub = conf.mbpp(source="hub", hub_id=published(tmp_path / "hub", {"full": splits}))
    local = conf.mbpp(source="local", path=str(file))
    for split in ("train", "dev", "test"):
        assert hub.problems(split) == local.problems(split)


def test_math500_is_the_same_from_a_hub_and_from_its_file(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "math" / "math500.jsonl"
    rows = [record.fields for record in read_records(file)]
    hub = conf.math(source="hub", hub_id=published(tmp_path / "hub", {"default": {"test": rows}}))
    assert hub.problems("test") == conf.math(source="local", path=str(file)).problems("test")


def test_a_split_or_configuration_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    folder = published(tmp_path / "hub", {"full": {"train": mbpp_rows((601,))}, "other": {"train": mbpp_rows((601,))}})
    with pytest.raises(ValueError, match="has no split 'prompt'; it has train"):
        conf.mbpp(source="hub", hub_id=folder).problems("test")
    with pytest.raises(ValueError, match=r"'sanitized' not found\. Available: \['full', 'other'\]"):
        conf.mbpp(source="hub", hub_id=folder, hub_config="sanitized").problems("test")


def test_a_damaged_file_is_refused_with_the_cause(tmp_path: Path) -> None:
    folder = published(tmp_path / "hub", {"default": {"test": math_rows("test")}})
    (tmp_path / "hub" / "default" / "test-0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"Parquet.*check the network, or use task\.source=local"):
        conf.math(source="hub", hub_id=folder).problems("test")


def test_a_revision_that_nothing_would_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"task\.revision=v1 is read only with task\.source=hub"):
        conf.math(source="local", path="x", revision="v1")
    folder = published(tmp_path / "hub", {"default": {"test": math_rows("test")}})
    with pytest.raises(ValueError, match=r"task\.revision=v1 is of a hub's data set"):
        conf.math(source="hub", hub_id=folder, revision="v1").check()


@pytest.fixture
def cached(tmp_path: Path) -> str:
    """The id of a data set of which the library's cache holds one commit, as a download leaves it."""
    hub_data(published(tmp_path / "hub", {"default": {"train": math_rows("train"), "test": math_rows("test")}}))
    (prepared,) = (path for path in (tmp_path / "cache" / "hub" / "default" / "0.0.0").iterdir() if path.is_dir())
    target = tmp_path / "cache" / "someone___math-copy" / "default" / "0.0.0" / COMMIT
    target.parent.mkdir(parents=True)
    shutil.move(prepared, target)
    for file in target.glob("hub-*.arrow"):
        file.rename(file.with_name(file.name.replace("hub-", "math-copy-", 1)))
    info = json.loads((target / "dataset_info.json").read_text())
    (target / "dataset_info.json").write_text(json.dumps({**info, "dataset_name": "math-copy"}))
    return "someone/math-copy"


@pytest.mark.parametrize("asked", [None, COMMIT, COMMIT[:10]])
def test_the_commit_that_was_resolved_is_known(asked: str | None, cached: str) -> None:
    task = conf.math(source="hub", hub_id=cached, revision=asked)
    assert len(task.problems("test")) == 3
    assert task.revisions() == {cached: COMMIT}


@pytest.mark.parametrize("asked", ["f" * 40, "v1.0", "main"])
def test_without_a_network_another_revision_than_the_caches_is_refused(asked: str, cached: str) -> None:
    with pytest.raises(ValueError, match=f"the cache holds revision {COMMIT}, and task.revision asks for {asked}"):
        conf.math(source="hub", hub_id=cached, revision=asked).problems("test")


def test_the_revision_of_the_configuration_reaches_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple] = []

    def loading(hub_id: str, config: str | None, *, revision: str | None) -> None:
        asked.append((hub_id, config, revision))
        raise OSError("no network")

    monkeypatch.setattr("datasets.load_dataset_builder", loading)
    for task in (conf.math, conf.mbpp, conf.humaneval):
        with pytest.raises(ValueError, match=r"no network.*check the network, or use task\.source=local"):
            task(source="hub", revision="v1").problems("test")
    assert asked == [
        ("nlile/hendrycks-MATH-benchmark", None, "v1"),
        ("google-research-datasets/mbpp", "full", "v1"),
        ("openai/openai_humaneval", None, "v1"),
    ]


def test_an_evaluations_manifest_names_the_commit_of_its_data(cached: str, tmp_path: Path) -> None:
    asked = ["task=math", f"task.hub_id={cached}", "model=scripted", "model.replies=[a]", "tracking=none"]
    conduct(compose_spec([*asked, f"results={tmp_path / 'results'}"]))
    (run,) = find_runs(tmp_path / "results")
    assert run.manifest("greedy").data_revisions == {cached: COMMIT}
