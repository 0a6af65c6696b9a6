"""A server as a user meets it, on a free port, whose workers do what the fakes are told."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from img2mesh.jobs.request import Request
from img2mesh.web import addresses, connections, guard, places
from img2mesh.web import server as serving
from img2mesh.web.queue import Queue
from img2mesh.web.wishes import Wishes
from tests.web.fakes import DESK, ENVIRONMENT, FUNCTION

LIMIT = 4096
PATIENCE = 180.0  # seconds; only a failing test waits so long
API = "/api/v1"


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
    told: dict[str, str] = field(default_factory=dict)

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
        told = {**self.told, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, body, told, encode_chunked=encode_chunked)
        response = connection.getresponse()
        answer = Answer(
            response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        )
        connection.close()
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A request of the API; a dict travels as JSON."""
        if isinstance(body, dict):
            body, headers = json.dumps(body), {"Content_Type": "application/json", **headers}
        return self.ask(method, API + path, body, **headers)

    def upload(self, name: str, content: bytes, more: str = "") -> str:
        """Send a photo; its id."""
        answer = self.api("POST", f"/jobs?name={name}{more}", content)
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    def jobs(self) -> dict[str, dict[str, Any]]:
        """What the page is told, by id."""
        return {card["id"]: card for card in self.api("GET", "/jobs").json["jobs"]}

    def until(self, key: str, accept: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look until a photo is as wanted."""
        end = time.monotonic() + PATIENCE
        while not accept(card := self.jobs()[key]):
            assert time.monotonic() < end, card
            time.sleep(0.02)
        return card

    def ended(self, key: str) -> dict[str, Any]:
        last = ("done", "failed", "cancelled")
        return self.until(key, lambda card: card["versions"][-1]["state"] in last)

    def asked(self, key: str) -> dict[str, Any]:
        return self.until(key, lambda card: card["state"] == "asking")

    def go(self) -> None:
        """Let photos that wait be made."""
        (self.root / "go").touch()

    def order(self) -> list[str]:
        """Names of the photos whose making began."""
        return (self.root / "order").read_text().split()


def version_of(card: dict[str, Any]) -> dict[str, Any]:
    """The newest version on a card."""
    return dict(card["versions"][-1])


@dataclass
class Started:
    """A server and what it is made of."""

    server: Server
    queue: Queue


@contextmanager
def started(
    root: Path,
    *,
    token: str | None = None,
    limit: int = LIMIT,
    disk: int = places.DISK,
    function: str = FUNCTION,
    desk: str = DESK,
    settings: dict[str, dict[str, Any]] | None = None,
    port: int = 0,
) -> Iterator[Started]:
    """A server over an output folder, with the connections' book as in the command."""
    root.mkdir(exist_ok=True)
    own = settings or {"views": {"generator": "geometric"}}
    request = Request(settings=own, cache_dir=root.parent / "cache")
    wishes = Wishes(request)
    queue = serving.queue_of(
        wishes, root, log=root.parent / "log", past=places.past(root),
        function=function, desk=desk, environment=ENVIRONMENT,
    )  # fmt: skip
    names = guard.names_of("127.0.0.1", "machine", ["mynas.lan"])
    app = serving.app_of(
        queue, wishes, request, root, names=names, token=token, limit=limit, disk=disk
    )
    book = connections.Connections()
    listener = addresses.listen("127.0.0.1", port)
    config = uvicorn.Config(
        connections.watched(app, book), http=connections.protocol(book), log_level="warning",
        lifespan="off", ws="none", backlog=connections.BACKLOG,
    )  # fmt: skip
    served = uvicorn.Server(config)
    connections.with_long_queue(served, listener)
    thread = threading.Thread(target=served.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Started(Server(listener.getsockname()[1], root), queue)
    finally:
        served.should_exit = True
        thread.join()
        queue.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with started(tmp_path / "outputs") as one:
        yield one.server
