"""Atomic writes: to a temporary name, flushed to disk, then renamed.

After a crash or a full disk at any moment, the name holds either its old content or its new one, whole.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_file(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Replace `path` by `content`, whole or in pieces; folders above it are made."""
    with replacing(path) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the context ends without an exception; folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync(path.parent)


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a folder of another name, flush all of it, and give it its own.

    A folder that is there is deleted before the rename, because a folder cannot be replaced in one step: a newer
    version of something that is in use needs a name of its own, and a record that turns to it afterwards.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    fill(temporary)
    for path in temporary.rglob("*"):
        sync(path)
    sync(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
