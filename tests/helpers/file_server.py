"""A local web server that serves files from memory, and misbehaves as a test demands."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 14


@dataclass(frozen=True)
class Behaviour:
    """The answer to a request.

    Attributes:
        status: error status of the answer. 0: close without an answer. None: answer with the file.
        cut: number of bytes of the body after which the server closes the connection.
        ranges: honour Range.
        shift: number of bytes by which the answer to a range begins too late.
        extra: number added to the true Content-Length; may be negative.
        length: send Content-Length. False: send chunks.
        content_type: Content-Type of the answer.
        pause: seconds between blocks of the body.
    """

    status: int | None = None
    cut: int | None = None
    ranges: bool = True
    shift: int = 0
    extra: int = 0
    length: bool = True
    content_type: str = "application/octet-stream"
    pause: float = 0.0


class FileServer(ThreadingHTTPServer):
    """Serves `files`. `script` has the behaviours for the next requests, `usual` that for all later requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.script: deque[Behaviour] = deque()
        self.usual = Behaviour()
        self.requests: list[tuple[str, str | None]] = []  # name, Range

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that close the connection early."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_GET(self) -> None:
        name, asked = self.path.lstrip("/"), self.headers.get("Range")
        self.server.requests.append((name, asked))
        behaviour = self.server.script.popleft() if self.server.script else self.server.usual
        self.close_connection = True
        content = self.server.files.get(name)
        status = behaviour.status if content is not None else 404
        if status == 0:
            return
        if content is None or status is not None:
            self.send_error(status or 404)
            return
        start = self._start(behaviour, content, asked)
        if start is None:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(behaviour, content, start)

    def _start(self, behaviour: Behaviour, content: bytes, asked: str | None) -> int | None:
        """First byte of the answer; 0 for the whole file; None for a range outside the file."""
        if asked is None or not behaviour.ranges:
            return 0
        match = re.fullmatch(r"bytes=(\d+)-", asked)
        assert match is not None
        return int(match[1]) + behaviour.shift if int(match[1]) < len(content) else None

    def _send(self, behaviour: Behaviour, content: bytes, start: int) -> None:
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", behaviour.content_type)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if behaviour.length:
            self.send_header("Content-Length", str(len(body) + behaviour.extra))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for first in range(0, len(body[: behaviour.cut]), BLOCK):
            block = body[: behaviour.cut][first : first + BLOCK]
            self.wfile.write(block if behaviour.length else b"%x\r\n%b\r\n" % (len(block), block))
            time.sleep(behaviour.pause)
        if not behaviour.length and behaviour.cut is None:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def running() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
