"""The routes of ``/api/v1``, as ``assets/openapi.json`` describes them. JSON in, JSON out."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from img2mesh.errors import InputError
from img2mesh.web import answers, bodies, clerk, places, uploads
from img2mesh.web.answers import Refusal
from img2mesh.web.items import FINISHED, Item, Version
from img2mesh.web.making import Making
from img2mesh.web.queue import Queue
from img2mesh.web.wishes import Wishes

VERSION = "/api/v1"
_MASK_LIMIT = 16 << 20
_LONGEST_WAIT = 60.0  # seconds that ``Prefer: wait`` may ask for
_LONGEST_MESH = 3600.0  # seconds that a synchronous call may take
_ROUND = 0.1  # seconds between looks while somebody waits

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The handlers, over what they need.

    Args:
        queue: where photos go.
        wishes: what may be asked of them.
        root: the output folder.
        about: what is told of this server.
        limit: bytes of a photo at most.
        disk: bytes of all photos at most.
        examples: pictures to try, by name.
    """

    def __init__(
        self,
        queue: Queue,
        wishes: Wishes,
        root: Path,
        about: dict[str, Any],
        *,
        limit: int,
        disk: int,
        examples: dict[str, Path],
    ) -> None:
        self._queue, self._wishes, self._root = queue, wishes, root
        self._about, self._limit, self._disk, self._examples = about, limit, disk, examples
        self._state = root / places.STATE_FOLDER
        self._making = Making(queue, root)
        self._asked: dict[str, str] = {}  # Idempotency-Key: id

    def routes(self) -> list[Route]:
        """Every route."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/server", self.server),
            ("GET", "/examples/{name}", self.example),
            ("GET", "/jobs", self.jobs),
            ("POST", "/jobs", self.upload),
            ("GET", "/jobs/{id}", self.job),
            ("DELETE", "/jobs/{id}", self.remove),
            ("PUT", "/jobs/{id}/mask", self.mask),
            ("POST", "/jobs/{id}/cancel", self.cancel),
            ("POST", "/jobs/{id}/retry", self.retry),
            ("GET", "/jobs/{id}/photo", self.photo),
            ("GET", "/jobs/{id}/thumbnail", self.photo),
            ("GET", "/jobs/{id}/sofar/{stage}", self.sofar),
            ("GET", "/jobs/{id}/plan", self.plan),
            ("POST", "/jobs/{id}/versions", self.again),
            ("GET", "/jobs/{id}/v{number:int}/{name}", self.file),
            ("GET", "/zip", self.zip),
            ("POST", "/mesh", self.mesh),
        ]
        return [Route(VERSION + path, handler, methods=[verb]) for verb, path, handler in table]

    async def server(self, request: Request) -> Response:
        """What this server is, and what there is to choose: whoever asks has photos to send."""
        self._queue.desk.warm(self._wishes.task({}))
        return JSONResponse({**self._about, "limit": self._limit, **self._wishes.about()})

    async def example(self, request: Request) -> Response:
        """A picture to try."""
        path = self._examples.get(request.path_params["name"])
        if path is None:
            raise Refusal(404, "there is no such example here")
        return answers.file(request, path, path.parent)

    async def jobs(self, request: Request) -> Response:
        """What has changed since a revision; ``Prefer: wait=25`` waits until something has."""
        given = request.query_params
        since = int(given["since"]) if given.get("since", "").isdecimal() else 0
        await self._until(request, lambda: self._queue.revision > since)
        revision, cards, gone = self._queue.changed(since)
        if state := given.get("state"):
            cards = [card for card in cards if card["state"] == state]
        life = self._about["life"]
        return JSONResponse({"life": life, "revision": revision, "jobs": cards, "removed": gone})

    async def job(self, request: Request) -> Response:
        """One photo; ``Prefer: wait=25`` waits until it has ended or asks something."""
        key = self._item(request).id

        def settled() -> bool:
            item = self._queue.find(key)
            return item is None or item.last.state in (*FINISHED, "asking")

        await self._until(request, settled)
        return self._card(key)

    async def upload(self, request: Request) -> Response:
        """Take a photo in: as the body, or as a form's ``photo`` with ``mask`` and the rest."""
        token = request.headers.get("idempotency-key", "")
        if token and (known := self._queue.find(self._asked.get(token, ""))):
            return self._card(known.id)
        item = await self._taken_in(request)
        if token:
            self._asked[token] = item.id
        answer = self._card(item.id, 201)
        answer.headers["location"] = f"{VERSION}/jobs/{item.id}"
        return answer

    async def remove(self, request: Request) -> Response:
        """Forget a photo; with ``files=true`` its meshes are deleted too."""
        item = self._item(request)
        self._queue.remove(item.id)
        if bodies.is_yes(request.query_params.get("files", "")):
            await asyncio.to_thread(self._making.delete, item)
        return JSONResponse({"id": item.id, "removed": True})

    async def mask(self, request: Request) -> Response:
        """What the object is: a PNG, or JSON with ``box``, ``whole`` or ``accept``."""
        item = self._item(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not item.photo.is_file():
            raise Refusal(409, "the photo itself is no longer here: drop it again")
        if kind == "application/json":
            told = await bodies.json_of(request)
            if told.get("accept") is True:
                wish: dict[str, Any] = {"accept": True}
            else:
                wish = self._wishes.checked({k: told[k] for k in ("box", "whole") if k in told})
            if not wish:
                raise InputError("say box, whole or accept, or send the mask as image/png")
        elif kind.startswith("image/"):
            name = f"mask-{secrets.token_hex(4)}.png"
            await uploads.save(request.stream(), item.photo.parent / name, limit=_MASK_LIMIT)
            wish = {"mask": name}
        else:
            raise InputError("a mask is sent as image/png, or as application/json with a box")
        if not self._queue.answer(item.id, wish):
            raise Refusal(409, f"{item.photo.name} is being made: cancel it first")
        return self._card(item.id)

    async def cancel(self, request: Request) -> Response:
        """End what waits or is being made."""
        item = self._item(request)
        if not self._queue.cancel(item.id):
            raise Refusal(409, f"{item.photo.name} had ended before it could be cancelled")
        return self._card(item.id)

    async def retry(self, request: Request) -> Response:
        """Make again what failed or was cancelled."""
        item = self._item(request)
        if item.last.state not in ("failed", "cancelled") or not item.photo.is_file():
            raise Refusal(409, f"{item.photo.name} cannot be tried again")
        self._queue.require_room()
        self._queue.again(item.id, item.last.wish, retry=True)
        return self._card(item.id)

    async def photo(self, request: Request) -> Response:
        """The photo as browsers can show it, large or small."""
        small = request.url.path.endswith("/thumbnail")
        name = clerk.THUMBNAIL if small else clerk.SHOWN
        return answers.file(request, self._item(request).photo.parent / name, self._root)

    async def sofar(self, request: Request) -> Response:
        """What there is to see already, while the rest is being made."""
        item = self._item(request)
        if not item.photo.is_file():
            raise Refusal(409, "the photo itself is no longer here: drop it again")
        path = await self._making.sofar(item, request.path_params["stage"])
        return answers.file(request, path, self._root)

    async def plan(self, request: Request) -> Response:
        """What another wish would cost: which stages run again, and for how long."""
        item = self._item(request)
        if not item.photo.is_file():
            raise Refusal(409, "the photo itself is no longer here: drop it again")
        wish = self._wishes.checked(bodies.wish_of(request.query_params))
        return JSONResponse(await self._making.plan(item, self._merged(item, wish)))

    async def again(self, request: Request) -> Response:
        """Make a further version of a photo; what it shares with others is taken from the cache."""
        item = self._item(request)
        wish = self._wishes.checked(await bodies.json_of(request))
        if not item.photo.is_file():
            raise Refusal(409, "the photo itself is no longer here: drop it again")
        self._queue.require_room()
        if not self._queue.again(item.id, self._merged(item, wish)):
            raise Refusal(409, f"{item.photo.name} is being made: wait, or cancel it first")
        return self._card(item.id, 201)

    async def file(self, request: Request) -> Response:
        """A file of a version; further formats are made on the first asking."""
        item = self._item(request)
        version = item.version(request.path_params["number"])
        name = request.path_params["name"]
        if version is None or version.state != "done":
            raise Refusal(404, "there is no such file here")
        path = await self._making.file(item, version, name)
        stem = item.photo.stem if version.number == 1 else f"{item.photo.stem}-v{version.number}"
        save = bodies.is_yes(request.query_params.get("save", ""))
        return answers.file(request, path, self._root, save_as=f"{stem}_{name}" if save else None)

    async def zip(self, request: Request) -> Response:
        """Everything of several photos in one file."""
        keys = [key for key in request.query_params.get("jobs", "").split(",") if key]
        found = [item for key in keys if (item := self._queue.find(key))]
        path = await self._making.packed(found)
        return answers.file(request, path, self._root, save_as="img2mesh.zip")

    async def mesh(self, request: Request) -> Response:
        """A picture in, a mesh out, in one call."""
        given = request.query_params
        name = f"mesh.{given.get('format', 'glb').lower().lstrip('.')}"
        if not self._making.can_make(name):
            raise InputError(f"unknown format {given['format']!r}; known are glb, obj, ply, stl, "
                             "3mf, usdz")  # fmt: skip
        try:
            patience = min(float(given.get("timeout", 600)), _LONGEST_MESH)
        except ValueError as error:
            raise InputError("timeout must be a number of seconds") from error
        item = await self._taken_in(request, stopping=False)
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        link = {"location": f"{VERSION}/jobs/{item.id}"}
        while (now := self._queue.find(item.id)) and now.last.state not in FINISHED:
            if await request.is_disconnected():
                self._queue.cancel(item.id)
                return Response(status_code=499)
            if loop.time() > end:
                told = answers.error(504, "it is still being made: ask for it at location", link)
                told.headers.update(link)
                return told
            await asyncio.sleep(_ROUND)
        if now is None or now.last.state != "done":
            sentence = now.last.error if now else "it was removed meanwhile"
            raise Refusal(422, sentence or "it was cancelled", **link)
        # Several files of one mesh travel as one.
        wanted = "mesh_obj.zip" if name == "mesh.obj" else name
        path = await self._making.file(now, now.last, wanted)
        answer = answers.file(request, path, self._root)
        answer.headers["location"] = link["location"]
        return answer

    # What they share

    def _item(self, request: Request) -> Item:
        item = self._queue.find(request.path_params["id"])
        if item is None:
            raise Refusal(404, "there is no such photo here")
        return item

    def _card(self, key: str, status: int = 200) -> JSONResponse:
        card = self._queue.card(key)
        if card is None:
            raise Refusal(404, "there is no such photo here")
        return JSONResponse(card, status_code=status)

    @staticmethod
    def _merged(item: Item, wish: dict[str, Any]) -> dict[str, Any]:
        """A wish for a further version: the cutout stays unless it says another."""
        if wish.keys() & {"box", "whole"}:
            return wish
        cut = ("box", "whole", "mask", "accept")
        return {**{k: v for k, v in item.last.wish.items() if k in cut}, **wish}

    async def _until(self, request: Request, there: Callable[[], bool]) -> None:
        """Wait as long as ``Prefer: wait=SECONDS`` says, or until it is so."""
        wanted = request.headers.get("prefer", "").replace(" ", "").partition("wait=")[2]
        seconds = 0.0
        with suppress(ValueError):
            seconds = min(float(wanted.partition(",")[0] or 0), _LONGEST_WAIT)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not there() and loop.time() < end and not await request.is_disconnected():
            await asyncio.sleep(_ROUND)

    async def _taken_in(self, request: Request, *, stopping: bool = True) -> Item:
        """A photo on disk and in the queue; what is announced as too large is not begun."""
        self._queue.require_room()
        size = bodies.announced(request)
        given: dict[str, Any] = dict(request.query_params)
        if bodies.is_form(request):
            form = await bodies.form_of(request, self._limit + _MASK_LIMIT)
            try:
                given |= {k: v for k, v in form.items() if isinstance(v, str)}
                photo, mask = form.get("photo", form.get("image")), form.get("mask")
                if not isinstance(photo, UploadFile):
                    raise InputError("the form needs a part called photo that is a file")
                name = str(given.get("name") or photo.filename or "")
                stream = bodies.chunks_of(photo)
                other = bodies.chunks_of(mask) if isinstance(mask, UploadFile) else None
                return await self._kept(given, name, stream, other, size, stopping)
            finally:
                await form.close()
        bodies.refuse_other_forms(request)
        name = str(given.get("name") or "photo.png")
        return await self._kept(given, name, request.stream(), None, size, stopping)

    async def _kept(
        self, given: dict[str, Any], name: str, stream: Any, mask: Any, size: int, stopping: bool
    ) -> Item:
        name = uploads.safe_name(name)
        if mask is None and size > self._limit:
            raise uploads.too_large(name, self._limit)
        wish = self._wishes.checked(bodies.wish_of(given))
        key = secrets.token_hex(8)
        photo = self._state / key / name
        old = [item for item in self._queue.all() if item.last.state in FINISHED]
        if not await asyncio.to_thread(places.make_room, self._state, size, old, limit=self._disk):
            raise Refusal(507, "there is no room for another photo: wait until some are made")
        try:
            await uploads.save(stream, photo, limit=self._limit)
            if mask is not None:
                wish["mask"] = f"mask-{secrets.token_hex(4)}.png"
                await uploads.save(mask, photo.parent / wish["mask"], limit=_MASK_LIMIT)
            item = Item(
                key, photo, (Version(1, wish),),
                asks=stopping and bodies.is_yes(given.get("ask", "")),
                group=uploads.safe_text(str(given.get("group", ""))),
            )  # fmt: skip
            self._queue.add(item)
        except BaseException:
            places.discard(photo)
            raise
        return item


def life() -> str:
    """A name for this life of the server: another after a restart."""
    return hashlib.sha256(secrets.token_bytes(16)).hexdigest()[:16]
