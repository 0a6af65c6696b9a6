"""The web app: the page, its modules, the API; every answer behind the guard."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.web import guard, places, uploads
from img2mesh.web.answers import Refusal, error
from img2mesh.web.api import VERSION, Api
from img2mesh.web.queue import FullError, Queue
from img2mesh.web.wishes import Wishes

_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src blob:; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NAME = re.compile(r"[a-z][a-z0-9_.-]*\.(js|css|json)")
_TYPES = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
#: What the page shares with the report.
_SHARED = ("model-viewer.min.js", "viewer.js", "viewer.css")


def application(
    queue: Queue,
    wishes: Wishes,
    root: Path,
    about: dict[str, Any],
    names: guard.Names,
    *,
    token: str | None = None,
    limit: int = uploads.LIMIT,
    disk: int = places.DISK,
    examples: dict[str, Path] | None = None,
) -> guard.App:
    """The web app.

    Args:
        queue: where photos go.
        wishes: what may be asked of them.
        root: the output folder, without links on its way.
        about: what is told of this server.
        names: what the server is called.
        token: what a request must show; None for a server that only this machine reaches.
        limit: bytes of a photo at most.
        disk: bytes of all photos at most.
        examples: pictures to try, by name.
    """
    api = Api(queue, wishes, root, about, limit=limit, disk=disk, examples=examples or {})

    async def page(request: Request) -> Response:
        return _asset("index.html", "text/html")

    async def part(request: Request) -> Response:
        name = request.path_params["name"]
        if _NAME.fullmatch(name) is None:
            raise Refusal(404, "there is nothing here")
        return _asset(name, _TYPES[name.rpartition(".")[2]])

    async def contract(request: Request) -> Response:
        return _asset("openapi.json", "application/json")

    routes = [
        Route("/", page),
        Route("/assets/{name}", part),
        Route(f"{VERSION}/openapi.json", contract),
        *api.routes(),
    ]
    handlers: dict[Any, Any] = {
        Refusal: lambda _, e: error(e.status, str(e), e.more),
        uploads.TooLargeError: lambda _, e: error(413, str(e)),
        FullError: lambda _, e: error(429, str(e)),
        uploads.NotAPhotoError: lambda _, e: error(415, str(e)),
        InputError: lambda _, e: error(422, str(e)),
        Img2MeshError: lambda _, e: error(500, str(e)),
        OSError: lambda _, e: error(507, f"the photo cannot be stored: {e.strerror}"),
        ClientDisconnect: lambda _, e: Response(status_code=400),
        HTTPException: _other,
    }
    inner = Starlette(routes=routes, exception_handlers=handlers)
    return guard.guarded(inner, names, lambda status, why: error(status, why), token=token)


def _other(request: Request, raised: Exception) -> JSONResponse:
    """What the framework refuses, in the one form that errors have."""
    assert isinstance(raised, HTTPException)
    said = {
        404: "there is nothing here",
        405: f"{request.method} is not possible here: see {VERSION}/openapi.json",
    }
    answer = error(raised.status_code, said.get(raised.status_code, str(raised.detail)))
    answer.headers.update(raised.headers or {})
    return answer


def _asset(name: str, kind: str) -> Response:
    package = "img2mesh.report" if name in _SHARED else "img2mesh.web"
    found = files(package) / "assets" / name
    if not found.is_file():
        raise Refusal(404, "there is nothing here")
    headers = {"content-security-policy": _POLICY}
    return Response(found.read_bytes(), media_type=kind, headers=headers)
