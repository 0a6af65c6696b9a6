"""Answers in one form: JSON sentences, and files that are looked up and never lead elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from img2mesh.web import places

#: A report brings its own script. It runs as a page of no origin, so it can ask for nothing here.
_REPORT_POLICY = "sandbox allow-scripts allow-popups; frame-ancestors 'self'"
_TYPES = {
    ".glb": "model/gltf-binary", ".webp": "image/webp", ".obj": "model/obj", ".mtl": "text/plain",
    ".stl": "model/stl", ".3mf": "model/3mf", ".ply": "application/octet-stream",
    ".usdz": "model/vnd.usdz+zip",
}  # fmt: skip


class Refusal(Exception):
    """An answer other than what was asked for.

    Args:
        status: of HTTP.
        sentence: what is wrong, and what to do.
        more: further keys of the answer.
    """

    def __init__(self, status: int, sentence: str, **more: object) -> None:
        super().__init__(sentence)
        self.status, self.more = status, more


def error(status: int, sentence: str, more: Mapping[str, object] | None = None) -> JSONResponse:
    """A sentence in the one form that errors have."""
    return JSONResponse({"error": sentence, **(more or {})}, status_code=status)


def file(request: Request, path: Path, root: Path, *, save_as: str | None = None) -> Response:
    """A file below ``root``, in parts if so asked, or 304 where the client has it.

    Raises:
        Refusal: it is not there, or a link stands in its place.
    """
    if not places.is_inside(path, root):
        raise Refusal(404, f"{path.name} is no longer in the output folder")
    state = path.stat()
    tag = f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
    policy = _REPORT_POLICY if path.suffix == ".html" else "default-src 'none'"
    headers = {"content-security-policy": policy, "etag": tag}
    known = request.headers.get("if-none-match", "")
    if tag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=_TYPES.get(path.suffix), headers=headers, filename=save_as)
