"""Writing so that a crash tears nothing: whatever fails, what stood there before can be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.files import write_file, write_folder
from bench.runs.folder import Run, RunKey

CALLS = ("replace", "fsync")


class Crash(BaseException):
    """Stands for SIGKILL."""


def crash(*_: object, **__: object) -> None:
    raise Crash


def fill(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text("new")


def test_what_was_written_is_read_and_nothing_else_is_left(tmp_path: Path):
    write_file(tmp_path / "deep" / "file", b"whole")
    write_file(tmp_path / "deep" / "pieces", iter([b"one", b"two"]))
    write_folder(tmp_path / "deep" / "folder", fill)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["file", "folder", "pieces"]
    assert (tmp_path / "deep" / "file").read_bytes() == b"whole"
    assert (tmp_path / "deep" / "pieces").read_bytes() == b"onetwo"
    assert (tmp_path / "deep" / "folder" / "inner" / "file").read_text() == "new"


@pytest.mark.parametrize("call", CALLS)
def test_a_crash_while_a_file_is_replaced_leaves_the_old_one(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_file(tmp_path / "file", b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, crash)
        with pytest.raises(Crash):
            write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("call", CALLS)
def test_a_folder_has_its_name_only_once_it_is_whole(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, call, crash)
        with pytest.raises(Crash):
            write_folder(tmp_path / "weights", fill)
    assert not (tmp_path / "weights").exists()
    write_folder(tmp_path / "weights", fill)
    assert (tmp_path / "weights" / "inner" / "file").read_text() == "new"


def test_every_file_and_folder_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushing(descriptor: int) -> None:
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def renaming(source: Path, target: Path) -> None:
        order.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(os, "replace", renaming)
    write_folder(tmp_path / "weights", fill)
    renamed = order.index("rename")
    assert {"inner", "file", "weights.tmp"} <= set(order[:renamed])
    assert order[renamed + 1 :] == [tmp_path.name]


def version(text: str):
    return lambda folder: (folder / "weights").write_text(text)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("spared", range(4))
def test_a_crash_at_any_moment_of_a_checkpoint_leaves_one_whole_and_its_best_weights(
    call: str, spared: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second best weights and the second checkpoint: it dies at the call after the `spared` ones."""
    run = Run(RunKey(method="score", task="math", model="mini", variant="main", seed=0), tmp_path)

    def checkpoint(update: int) -> None:
        run.save_best("stage1", update, version(f"best{update}"))
        run.save_progress(version(f"state{update}"), {"reached": update, "best_at": update}, update=update)
        run.keep_best("stage1", update)

    checkpoint(10)
    calls = 0
    real = getattr(os, call)

    def dying(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls > spared:
            raise Crash
        return real(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, dying)
        if call == "replace" and spared == 3:  # there are three renames: nothing dies
            checkpoint(20)
        else:
            with pytest.raises(Crash):
                checkpoint(20)
    progress = run.progress
    assert progress is not None
    update = progress["reached"]
    assert (run.state_folder / "weights").read_text() == f"state{update}"
    assert (run.best_weights("stage1", progress["best_at"]) / "weights").read_text() == f"best{update}"
    assert update == (20 if call == "replace" and spared == 3 else 10)
