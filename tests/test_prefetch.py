"""`bench/prefetch.py` on copies in the hub's own layout, without a network: it names what is there, or refuses."""

import shutil
from pathlib import Path

import pytest

from bench import prefetch
from bench.conduct import conduct
from bench.launch.catalogue import compose_spec
from bench.models.download import download
from bench.runs.finished import find_runs
from bench.tasks.hub import hub_data
from tests.test_task_hub import COMMIT, cached, offline  # noqa: F401  fixtures

HUB_ID = "someone/tiny"


@pytest.fixture
def model_cache(tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with one commit of a model, as a download leaves it: the snapshot's folder."""
    repository = tmp_path / "hub_cache" / "models--someone--tiny"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(tiny_model_folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    return snapshot


def asked(*more: str) -> list[str]:
    return ["model=transformers", f"model.path={HUB_ID}", "model.max_tokens=4", "tracking=none", *more]


def test_a_sweeps_models_and_data_are_named_once_with_revision_and_size_and_then_load(
    model_cache: Path,
    cached: str,  # noqa: F811  the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    words = asked("task=math", f"task.hub_id={cached}", f"results={tmp_path / 'results'}")
    assert prefetch.main(["-m", "method=base,self_refine", "seed=0,1", *words]) == 0
    model, data, hint = capsys.readouterr().out.splitlines()
    num_bytes = sum(file.stat().st_size for file in model_cache.iterdir())
    assert model == f"model  {HUB_ID}  revision {COMMIT}  {prefetch.size(num_bytes)}"
    assert data.startswith(f"data   {cached}  revision {COMMIT}  {prefetch.size(hub_data(cached).num_bytes)}  rows: ")
    assert "3 train" in data
    assert "3 test" in data
    assert "HF_HUB_OFFLINE=1 before bench/run.py" in hint
    conduct(compose_spec(words))
    (run,) = find_runs(tmp_path / "results")
    assert run.manifest("greedy").model_revision == COMMIT


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.path=someone/else"], "model.path=someone/else cannot be downloaded ("),
        (["model.revision=v2"], f"model.path={HUB_ID} cannot be downloaded ("),
        (["model.path=/no/such/folder"], "model.path=/no/such/folder: no such folder"),
        (["task=math", "task.hub_id=nobody/nothing"], "cannot load nobody/nothing from the hub ("),
        (["task=maht"], "did you mean task=math?"),
        (["seed=0,1"], "put -m before it"),
    ],
)
@pytest.mark.usefixtures("model_cache")
def test_what_is_not_to_be_had_is_said_in_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    changed = {word.partition("=")[0] for word in words}
    assert prefetch.main([*(word for word in asked() if word.partition("=")[0] not in changed), *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert said in line


@pytest.mark.parametrize("words", [[], ["model=served", "model.base_url=http://localhost/v1", "model.name=x"]])
def test_what_needs_no_network_needs_no_download(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert prefetch.main(words) == 0
    assert capsys.readouterr().out == "nothing to download: models and data are local, generated or served\n"


@pytest.mark.parametrize(
    ("num_bytes", "shown"), [(7, "0.0 kB"), (712, "0.7 kB"), (9_400_000, "9.4 MB"), (15_231_000_000, "15.2 GB")]
)
def test_a_size_is_shown_in_the_unit_that_people_use(num_bytes: int, shown: str):
    assert prefetch.size(num_bytes) == shown


def test_a_repository_without_weights_is_refused(model_cache: Path):
    (model_cache / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"holds no weights \(\*\.safetensors, \*\.bin\)"):
        download(HUB_ID, revision=None)
