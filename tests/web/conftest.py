"""A server as a user meets it, on a free port, whose worker does what the fake is told."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from img2mesh.jobs.request import Request
from img2mesh.web import guard
from img2mesh.web import server as serving
from tests.web.fakes import ENVIRONMENT, FUNCTION

LIMIT = 4096
PATIENCE = 60.0  # seconds; only a failing test waits so long


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    root: Path

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        encode_chunked: bool = False,
        **headers: str,
    ) -> Answer:
        """A request; a header's underscores stand for hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, told, encode_chunked=encode_chunked)
        response = connection.getresponse()
        answer = Answer(
            response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        )
        connection.close()
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def upload(self, name: str, content: bytes) -> str:
        """Send a photo; its id."""
        answer = self.ask("POST", f"/jobs?name={name}", content)
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    def jobs(self) -> dict[str, dict[str, Any]]:
        """What the page is told, by id."""
        return {card["id"]: card for card in self.get("/jobs").json["jobs"]}

    def until(self, key: str, accept: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look until a photo is as wanted."""
        end = time.monotonic() + PATIENCE
        while not accept(card := self.jobs()[key]):
            assert time.monotonic() < end, card
            time.sleep(0.02)
        return card

    def ended(self, key: str) -> dict[str, Any]:
        return self.until(key, lambda card: card["state"] in ("done", "failed", "cancelled"))

    def go(self) -> None:
        """Let photos that wait be made."""
        (self.root / "go").touch()

    def order(self) -> list[str]:
        """Names of the photos whose making began."""
        return (self.root / "order").read_text().split()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "outputs"
    root.mkdir()
    settings = {"views": {"generator": "geometric"}}
    request = Request(settings=settings, cache_dir=tmp_path / "cache")
    queue = serving.queue_of(
        request, root, log=tmp_path / "log", function=FUNCTION, environment=ENVIRONMENT
    )
    names = guard.names_of("127.0.0.1", "machine")
    app = serving.app_of(queue, request, root, names=names, limit=LIMIT)
    listener = serving.listen("127.0.0.1", 0)
    served = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=served.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Server(listener.getsockname()[1], root)
    finally:
        served.should_exit = True
        thread.join()
        queue.close()
