"""What comes in a request: JSON of bounded size, a form of bounded size, parts of the address."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from img2mesh.errors import InputError
from img2mesh.web import uploads

JSON_LIMIT = 64 << 10
#: Above the photo itself: the mask, and the form around both.
_ROOM = 1 << 20
_CHUNK = 1 << 18


def announced(request: Request) -> int:
    """Bytes that a body says it has; 0 where it does not say."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def is_form(request: Request) -> bool:
    """Whether the body is a form with files."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def refuse_other_forms(request: Request) -> None:
    """A body that is no picture is told so before it is stored as one.

    Raises:
        NotAPhotoError: a form of another kind.
    """
    kind = request.headers.get("content-type", "").lower()
    if kind.startswith("multipart/"):
        raise uploads.NotAPhotoError(
            "send the picture itself, or multipart/form-data with a part called photo"
        )
    # What curl --data-binary says of anything.
    if kind.startswith("application/x-www-form-urlencoded") and not request.headers.get(
        "user-agent", ""
    ).startswith("curl/"):
        raise uploads.NotAPhotoError("send the picture itself as the body, not a form")


async def json_of(request: Request, limit: int = JSON_LIMIT) -> dict[str, Any]:
    """A JSON object; {} for no body.

    Raises:
        TooLargeError: more bytes than that.
        InputError: none.
    """
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise uploads.too_large("the request", limit)
    if not content.strip():
        return {}
    return parsed(content.decode("utf-8", "replace"), "the request")


def parsed(text: str, what: str) -> dict[str, Any]:
    """A JSON object from a text.

    Raises:
        InputError: it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{what} must be a JSON object")
    return found


async def form_of(request: Request, limit: int) -> FormData:
    """A form whose files together are not much larger than ``limit`` bytes.

    Raises:
        TooLargeError: they are.
        InputError: it is no form, or has too many parts.
    """
    size, receive = 0, request.receive

    async def counted() -> Any:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit + _ROOM:
            raise uploads.too_large("the form", limit)
        return message

    whole = Request(request.scope, counted)
    try:
        return await whole.form(max_files=2, max_fields=12)
    except HTTPException as error:
        raise InputError(f"the form cannot be read: {error.detail}") from error


async def chunks_of(file: UploadFile) -> AsyncIterator[bytes]:
    """The bytes of a file in a form."""
    while chunk := await file.read(_CHUNK):
        yield chunk


def wish_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """A wish from the address or a form: texts, of which some are JSON or lists.

    Raises:
        InputError: ``settings`` is no JSON object.
    """
    wish: dict[str, Any] = {}
    for key in ("preset", "until"):
        if given.get(key):
            wish[key] = str(given[key])
    if given.get("settings"):
        wish["settings"] = parsed(str(given["settings"]), "settings")
    if given.get("formats"):
        wish["formats"] = [name.strip() for name in str(given["formats"]).split(",")]
    if given.get("box"):
        try:
            wish["box"] = [float(part) for part in str(given["box"]).split(",")]
        except ValueError as error:
            raise InputError("box must be four numbers with commas between them") from error
    if given.get("whole"):
        wish["whole"] = is_yes(given["whole"])
    return wish


def is_yes(value: object) -> bool:
    """Whether a text of an address means yes."""
    return str(value).lower() in ("1", "true", "yes")
