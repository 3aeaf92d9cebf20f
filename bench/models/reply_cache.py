"""A server's replies on disk, one commit each: a killed run reads them instead of paying for them again."""

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any


class ReplyCache:
    """Maps a request's digest to the server's reply as JSON. Threads and processes may share a file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            # No isolation level: each statement commits by itself. The timeout is for other processes' commits.
            self._database = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._database.execute("CREATE TABLE IF NOT EXISTS replies (request TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"the cache of replies {path} cannot be used ({error}); set model.cache=<another file>"
            ) from None

    def get(self, request: str) -> dict[str, Any] | None:
        with self._lock:
            row = self._database.execute("SELECT reply FROM replies WHERE request = ?", (request,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, request: str, reply: str) -> None:
        with self._lock:
            self._database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (request, reply))
