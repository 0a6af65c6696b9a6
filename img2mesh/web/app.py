"""The routes. A file is looked up in what its photo left, never found by a path from outside."""

from __future__ import annotations

import secrets
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from img2mesh.errors import InputError
from img2mesh.web import guard, uploads
from img2mesh.web.items import Item
from img2mesh.web.queue import Queue

_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: A report brings its own script. It runs as a page of no origin, so it can ask for nothing here.
_REPORT_POLICY = "sandbox allow-scripts allow-popups; frame-ancestors 'self'"
_TYPES = {".glb": "model/gltf-binary", ".webp": "image/webp"}


def application(
    queue: Queue, photos: Path, about: dict[str, Any], names: guard.Names, *, limit: int
) -> guard.App:
    """The web app.

    Args:
        queue: where photos go.
        photos: folder that they are stored in, each in a folder of its own.
        about: what the page shows of this server.
        names: what the server is called.
        limit: bytes of a photo at most.
    """

    async def asset(request: Request) -> Response:
        name, kind = _PAGE[request.url.path]
        text = (files("img2mesh.web") / "assets" / name).read_text(encoding="utf-8")
        return Response(text, media_type=kind, headers={"content-security-policy": _POLICY})

    async def jobs(request: Request) -> Response:
        return JSONResponse({"server": {**about, "limit": limit}, "jobs": queue.as_json()})

    async def upload(request: Request) -> Response:
        name = uploads.safe_name(request.query_params.get("name", ""))
        # What is announced as too large is not even begun.
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise uploads.too_large(name, limit)
        key = secrets.token_hex(8)
        item = Item(key, photos / key / name)
        await uploads.save(request.stream(), item.photo, limit=limit)
        queue.add(item)
        return JSONResponse({"id": item.id, "name": name}, status_code=201)

    async def cancel(request: Request) -> Response:
        item = queue.find(request.path_params["id"])
        if item is None:
            return _error(404, "there is no such photo here")
        if not queue.cancel(item.id):
            return _error(409, f"{item.photo.name} had ended before it could be cancelled")
        return JSONResponse({"id": item.id, "state": "cancelled"})

    async def file(request: Request) -> Response:
        item = queue.find(request.path_params["id"])
        name = request.path_params["name"]
        if item is None or name not in item.result.get("files", ()):
            return _error(404, "there is no such file here")
        path = Path(item.result["folder"]) / name
        if not path.is_file():
            return _error(404, f"{name} is no longer in the output folder")
        policy = _REPORT_POLICY if path.suffix == ".html" else "default-src 'none'"
        return FileResponse(
            path,
            media_type=_TYPES.get(path.suffix),
            headers={"content-security-policy": policy},
        )

    routes = [Route(path, asset) for path in _PAGE]
    routes += [
        Route("/jobs", jobs, methods=["GET"]),
        Route("/jobs", upload, methods=["POST"]),
        Route("/jobs/{id}/cancel", cancel, methods=["POST"]),
        Route("/jobs/{id}/files/{name}", file),
    ]
    handlers: dict[Any, Any] = {
        uploads.TooLargeError: lambda _, error: _error(413, str(error)),
        InputError: lambda _, error: _error(415, str(error)),
        OSError: lambda _, error: _error(507, f"the photo cannot be stored: {error.strerror}"),
        ClientDisconnect: lambda _, error: Response(status_code=400),
        404: lambda _, error: _error(404, "there is nothing here"),
    }
    inner = Starlette(routes=routes, exception_handlers=handlers)
    return guard.guarded(inner, names, lambda why: _error(403, why))


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status_code=status)
