"""A small server that speaks the protocol of chat completions, with replies of its own: for tests of the plumbing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], "str | dict[str, Any] | int"]  # of a request's body: a text, a reply, or a status


@dataclass
class ChatServer:
    """What a running server was asked, and how it answers; both may be changed while it runs."""

    answer: Answer
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)  # every request, in the order of arrival
    answered: list[dict[str, Any]] = field(default_factory=list)  # those that got a reply
    keys: list[str | None] = field(default_factory=list)  # the Authorization header of each
    headers: dict[str, str] = field(default_factory=dict)  # of answers that are a status
    most_at_once: int = 0
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def reply(text: str, **told: Any) -> dict[str, Any]:
    """A chat completion that says `text`; `told` replaces what its choice, or the whole of it, says."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    whole = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "served-model-v7",
        "system_fingerprint": "fp_1",
        "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
    }
    for key, value in told.items():
        (whole if key in whole else choice)[key] = value
    return {**whole, "choices": [choice]}


@contextmanager
def chat_server(answer: Answer) -> Iterator[ChatServer]:
    state = ChatServer(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": "served-model", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.asked.append(body)
                state.keys.append(self.headers["Authorization"])
                state.under_way += 1
                state.most_at_once = max(state.most_at_once, state.under_way)
            try:
                said = state.answer(body)
            finally:
                with state.lock:
                    state.under_way -= 1
            if isinstance(said, int):
                self._send(said, {"error": {"message": f"status {said}", "type": "error"}})
                return
            with state.lock:
                state.answered.append(body)
            self._send(200, reply(said) if isinstance(said, str) else said)

        def _send(self, status: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            for name, value in (state.headers if status != 200 else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None: ...  # a client that was killed

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
