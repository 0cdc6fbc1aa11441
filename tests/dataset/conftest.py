"""A stand-in for the hub's HTTP interface, so that the real client runs against it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest


class FakeHub:
    """Repositories as {id: {commit: {path: content}}}; ids in `gated` are refused."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.gated: set[str] = set()
        self.asked: list[str] = []
        """Paths of all requests."""

    def files(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]]:
        """The commit that a revision names, and its files; KeyError holds the hub's code."""
        if repository in self.gated:
            raise KeyError("GatedRepo")
        if repository not in self.repositories:
            raise KeyError("RepoNotFound")
        commits = self.repositories[repository]
        commit = list(commits)[-1] if revision == "main" else revision
        if commit not in commits:
            raise KeyError("RevisionNotFound")
        return commit, commits[commit]

    @contextmanager
    def serve(self) -> Iterator[str]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture(scope="module")
def fake_hub() -> FakeHub:
    return FakeHub()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            hub.asked.append(self.path)
            parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            try:
                if parts[0] == "datasets" and parts[3] == "resolve":
                    self.send_file("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
                else:
                    self.send_api("/".join(parts[2:4]), *parts[4:])
            except KeyError as error:
                status = 403 if error.args[0] == "GatedRepo" else 404
                self.reply(b"", {"X-Error-Code": error.args[0]}, status)

        def send_file(self, repository: str, revision: str, path: str) -> None:
            commit, files = hub.files(repository, revision)
            if path not in files:
                raise KeyError("EntryNotFound")
            etag = hashlib.sha1(files[path]).hexdigest()
            self.reply(files[path], {"X-Repo-Commit": commit, "ETag": f'"{etag}"'})

        def send_api(
            self, repository: str, verb: str = "revision", revision: str = "main", *folder: str
        ) -> None:
            commit, files = hub.files(repository, revision)
            prefix = "".join(f"{part}/" for part in folder)
            inside = {path: content for path, content in files.items() if path.startswith(prefix)}
            answer: object = {"id": repository, "sha": commit, "siblings": []}
            if verb == "tree" and not inside:
                raise KeyError("EntryNotFound")
            if verb == "tree":
                answer = [
                    {"type": "file", "path": path, "size": len(content), "oid": path}
                    for path, content in inside.items()
                ]
            self.reply(json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def reply(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output free of requests."""

    return Handler
