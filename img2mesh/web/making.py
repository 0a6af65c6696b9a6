"""What is made when somebody asks: further formats, archives, plans; by the desk, once each."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from img2mesh.web import places
from img2mesh.web.answers import Refusal
from img2mesh.web.items import Item, Version
from img2mesh.web.queue import Queue

#: Made from mesh.glb by the desk.
_FORMATS = ("mesh.obj", "mesh.ply", "mesh.stl", "mesh.3mf", "mesh.usdz", "turntable.webp")
#: Made of files that are there, or of those.
_PACKED = ("mesh_obj.zip", "all.zip")
KNOWN = "known.png"
#: Stages whose result can be looked at while the rest is being made.
SOFAR = ("views", "surface")


class Making:
    """See the module.

    Args:
        queue: the photos, and the desk.
        root: the output folder.
    """

    def __init__(self, queue: Queue, root: Path) -> None:
        self._queue, self._root = queue, root
        self._state = root / places.STATE_FOLDER
        self._locks: dict[Path, asyncio.Lock] = {}

    @staticmethod
    def can_make(name: str) -> bool:
        """Whether a file of that name can be had of every mesh."""
        return name == "mesh.glb" or name in _FORMATS

    async def plan(self, item: Item, wish: dict[str, Any]) -> dict[str, Any]:
        """``stages`` that a wish would run again, ``seconds`` they would take."""
        version = Version(0, wish)
        told = await self._ask("plan", self._queue.payload(item, version))
        usual = self._queue.usual_seconds()
        running = [step["stage"] for step in told["stages"] if not step["cached"]]
        seconds = sum(usual.get(stage, 1.0) for stage in [*running, "files"])
        return {**told, "runs": running, "seconds": round(seconds, 1)}

    async def file(self, item: Item, version: Version, name: str) -> Path:
        """Where a file of a version lies, made now if it can be.

        Raises:
            Refusal: there is none of that name.
            InputError: it cannot be made.
        """
        folder = Path(version.result["folder"])
        # What the desk was asked for lies beside the photo, not among what img2mesh run leaves.
        aside = item.photo.parent / f"v{version.number}" / name
        if name == KNOWN:
            return await self._once(aside, lambda: self._known(item, version, aside))
        if name in _PACKED:
            return await self._once(aside, lambda: self._pack(item, version, name, aside))
        if name in version.result["files"]:
            return folder / name
        if name in _FORMATS:
            return await self._once(aside, lambda: self._convert(item, version, aside))
        if places.is_delivered(name) and aside.is_file():  # the picture of an .obj
            return aside
        raise Refusal(404, "there is no such file here")

    async def sofar(self, item: Item, stage: str) -> Path:
        """A picture of what a stage made for the newest version, as soon as it has.

        Raises:
            Refusal: there is nothing to see of that stage.
            InputError: not yet.
        """
        if stage not in SOFAR:
            raise Refusal(404, f"there is nothing to see of {stage[:40]!r}: only of views, surface")
        target = item.photo.parent / f"v{item.last.number}" / f"sofar-{stage}.png"

        async def ask() -> None:
            payload = self._queue.payload(item, item.last)
            await self._ask("sofar", {**payload, "stage": stage, "target": str(target)})

        return await self._once(target, ask)

    async def packed(self, found: list[Item]) -> Path:
        """One ZIP of the newest finished version of each photo.

        Raises:
            Refusal: none of them is done.
        """
        done = [(i, v) for i in found for v in i.versions[::-1] if v.state == "done"]
        first = {item.id: version for item, version in reversed(done)}
        files = {Path(v.result["folder"]).name: _delivered(v) for v in first.values()}
        if not files:
            raise Refusal(404, "none of these photos is done")
        for old in self._state.glob("zip-*.zip"):
            with suppress(OSError):
                old.unlink()
        target = self._state / f"zip-{secrets.token_hex(8)}.zip"
        await self._ask("pack", {"target": str(target), "files": files})
        return target

    def delete(self, item: Item) -> None:
        """Delete a photo's output folders: what img2mesh left there, and they if that was all."""
        for version in item.versions:
            folder = Path(version.result.get("folder", ""))
            if folder.parent != self._root or folder.is_symlink():
                continue
            for path in folder.iterdir() if folder.is_dir() else ():
                if places.is_delivered(path.name) and not path.is_dir():
                    path.unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()

    async def _once(self, path: Path, make: Any) -> Path:
        """Make a file unless it is there; who asks meanwhile waits."""
        lock = self._locks.setdefault(path, asyncio.Lock())
        async with lock:
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                await make()
        self._locks.pop(path, None)
        return path

    async def _known(self, item: Item, version: Version, target: Path) -> None:
        if not item.photo.is_file():
            raise Refusal(404, "the photo is no longer here, so nobody knows what it showed")
        payload = self._queue.payload(item, version)
        await self._ask("known", {**payload, "target": str(target)})

    async def _convert(self, item: Item, version: Version, target: Path) -> None:
        source = Path(version.result["folder"]) / "mesh.glb"
        if not places.is_inside(source, self._root):
            raise Refusal(404, "mesh.glb is no longer in the output folder")
        told = {"source": str(source), "target": str(target), "name": places.stem_of(item)}
        await self._ask("convert", told)

    async def _pack(self, item: Item, version: Version, name: str, target: Path) -> None:
        folder = Path(version.result["folder"])
        files = _delivered(version)
        if name == "mesh_obj.zip":
            obj = await self.file(item, version, "mesh.obj")
            files = [str(obj), *_beside(obj)]
        await self._ask("pack", {"target": str(target), "files": {folder.name: files}})

    async def _ask(self, verb: str, payload: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.wrap_future(self._queue.desk.ask(verb, payload))


def _delivered(version: Version) -> list[str]:
    folder = Path(version.result["folder"])
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    return [str(p) for p in there if places.is_delivered(p.name) and not p.is_symlink()]


def _beside(obj: Path) -> list[str]:
    """The material of a .obj and its pictures, as the files name them."""
    found: list[str] = []
    for line in obj.read_text(encoding="utf-8").splitlines()[:20]:
        if line.startswith("mtllib "):
            mtl = obj.parent / Path(line.split(maxsplit=1)[1]).name
            found.append(str(mtl))
            rows = mtl.read_text(encoding="utf-8").splitlines()
            maps = [row.split(maxsplit=1)[1] for row in rows if row.startswith("map_")]
            found += [str(obj.parent / Path(name).name) for name in maps]
    return list(dict.fromkeys(found))
