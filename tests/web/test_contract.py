"""The API is what its OpenAPI file says: every operation is used, and every answer validates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.web.conftest import API, Answer, Server

CONTRACT = json.loads((files("img2mesh.web") / "assets" / "openapi.json").read_text())
OPERATIONS = {
    one["operationId"]: (verb.upper(), path, one)
    for path, verbs in CONTRACT["paths"].items()
    for verb, one in verbs.items()
}


class Checked:
    """Asks by operation and holds the answer against the file."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.used: dict[str, set[int]] = {}

    def __call__(
        self, operation: str, body: Any = None, *, query: str = "", headers: Any = None, **path: Any
    ) -> Answer:
        verb, where, said = OPERATIONS[operation]
        given = {p["name"] for p in said.get("parameters", ()) if p["in"] == "query"}
        asked = {part.partition("=")[0] for part in query.split("&") if part}
        assert asked <= given, f"{operation} is not said to take {asked - given}"
        address = where.format(**path) + (f"?{query}" if query else "")
        answer = self.server.api(verb, address, body, **(headers or {}))
        self.used.setdefault(operation, set()).add(answer.status)
        told = said["responses"].get(str(answer.status))
        assert told, f"{operation} is not said to answer {answer.status}: {answer.body[:200]!r}"
        if "application/json" in answer.headers.get("content-type", "") and "content" in told:
            schema = told["content"].get("application/json", {}).get("schema")
            if schema:
                whole = {**schema, "components": CONTRACT["components"]}
                Draft202012Validator(whole).validate(answer.json)
        if "content" in told:
            kind = answer.headers["content-type"].partition(";")[0]
            assert {kind, kind.partition("/")[0] + "/*", "*/*"} & set(told["content"]), (
                f"{operation} is not said to answer {kind}"
            )
        else:
            assert not answer.body
        for name in told.get("headers", ()):
            assert name in answer.headers
        return answer


@pytest.fixture
def ask(server: Server) -> Iterator[Checked]:
    checked = Checked(server)
    yield checked


def test_every_operation_answers_as_it_says(ask: Checked, server: Server) -> None:
    about = ask("server").json
    ask("example", name=about["examples"][0])
    ask("example", name="nothing")
    waits = ask("upload", b"wait", query="name=slow.png").json["id"]
    server.until(waits, lambda card: card["state"] == "running")
    ask("jobs", query="since=0&state=running")
    ask("cancel", id=waits)
    ask("cancel", id=waits)
    ask("retry", id=waits)
    key = ask("upload", b"odd", query="name=cup.png&ask=true&group=a").json["id"]
    server.asked(key)
    ask("job", id=key)
    ask("plan", id=key, query="preset=draft&settings=%7B%22surface.target_faces%22%3A9%7D")
    ask("plan", id=key, query="preset=none")
    ask("mask", {"box": [1, 1, 9, 9]}, id=key)
    server.asked(key)
    ask("mask", {"box": [1, 1]}, id=key)
    ask("mask", {"accept": True}, id=key)
    server.go()
    assert ask("job", id=key, headers={"Prefer": "wait=50"}).json["state"] == "done"
    ask("mask", {"whole": True}, id=key)
    server.ended(key)
    ask("again", {"settings": {"surface.target_faces": 9}, "preset": "draft"}, id=key)
    server.ended(key)
    ask("again", {"faces": 9}, id=key)
    ask("photo", id=key)
    ask("sofar", id=key, stage="surface", query="v=1")
    ask("sofar", id=key, stage="radiance")
    ask("thumbnail", id=key)
    ask("file", id=key, number=1, name="mesh.glb", headers={"Range": "bytes=0-3"})
    ask("file", id=key, number=1, name="mesh.usdz", query="save=true")
    ask("file", id=key, number=9, name="mesh.glb")
    ask("zip", query=f"jobs={key}")
    ask("zip", query="jobs=none")
    ask("mesh", b"pixels", query="format=ply&timeout=50&name=a.png")
    ask("mesh", b"bad", query="format=glb")
    ask("mesh", b"")
    ask("upload", b"x" * 5000, query="name=a.png")
    ask("jobs", query="since=0")
    ask("remove", id=key, query="files=true")
    ask("remove", id=key)
    assert set(ask.used) == set(OPERATIONS)


def test_the_file_names_every_route_and_no_other(server: Server) -> None:
    from img2mesh.web.api import Api

    routes = Api.routes(Api.__new__(Api))
    there = {
        (verb, re.sub(r":int", "", route.path).removeprefix(API))
        for route in routes
        for verb in (route.methods or set()) - {"HEAD"}
    }
    assert there == {(verb, path) for verb, path, _ in OPERATIONS.values()}
    assert server.api("GET", "/openapi.json").json == CONTRACT
    Draft202012Validator.check_schema({"$defs": CONTRACT["components"]["schemas"]})
    for _, path, said in OPERATIONS.values():
        named = {p["name"] for p in said.get("parameters", ()) if p["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))
