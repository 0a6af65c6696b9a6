"""Where things lie: a photo in ``.serve/ID/``, a version in the output folder, the past on disk.

``outputs/<stem>/`` is the first version, ``outputs/<stem>-v2/`` the second; whose a folder is,
:mod:`img2mesh.jobs.claims` decides.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from img2mesh.core import failures
from img2mesh.core.names import safe_name
from img2mesh.io.files import write_json
from img2mesh.jobs import claims
from img2mesh.web.items import Item, Version

#: Beside the output folders: photos as they came, and what the workers' libraries print.
STATE_FOLDER = ".serve"
#: What is kept of a photo beside it.
_RECORD = "photo.json"
_PAST = 500  # photos of earlier lives that are shown
#: Bytes of photos and what is beside them, at most.
DISK = 4 << 30

_QUALITY = (
    "generator", "learned_weights", "licences", "faces", "vertices", "watertight", "manifold",
    "components", "uv_overlap", "texture_resolution", "seen_surface_fraction", "silhouette_iou",
    "psnr_views", "peak_memory_mb", "verdict",
)  # fmt: skip


def stem_of(item: Item) -> str:
    """What the object is called."""
    return safe_name(item.photo.stem)


def name_for(root: Path, item: Item) -> str:
    """What the output folder of an item's newest version is called, unless it is taken.

    A link that stands there is not followed.
    """
    suffix = "" if item.last.number == 1 else f"-v{item.last.number}"
    name = f"{stem_of(item)}{suffix}"
    if not (root / name).is_symlink():
        return name
    return f"{stem_of(item)}-{str(item.outline.get('digest', ''))[:8]}{suffix}"


def with_sums(result: Mapping[str, Any]) -> dict[str, Any]:
    """A worker's result with size and SHA-256 of every file."""
    folder = Path(result["folder"])
    told = {k: v for k, v in result.items() if k != "thumbnail"}
    return told | {"files": {name: facts(folder / name) for name in result["files"]}}


def facts(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as far as it is there."""
    with suppress(OSError), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size": path.stat().st_size, "sha256": digest}
    return {"size": 0, "sha256": ""}


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path leads to a regular file in ``root`` without any link on its way."""
    try:
        return path.resolve(strict=True) == path.absolute() and path.is_file() and (
            root.resolve() in path.resolve().parents
        )  # fmt: skip
    except OSError:
        return False


def remember(item: Item) -> None:
    """Keep beside the photo what a later life of the server needs to show it."""
    record = {
        "group": item.group,
        "asks": item.asks,
        "outline": dict(item.outline),
        "versions": [
            {"number": one.number, "wish": dict(one.wish), "folder": one.result["folder"]}
            for one in item.versions
            if one.state == "done"
        ],
    }
    if item.photo.parent.is_dir():
        with suppress(OSError):  # a full disk costs the past, not the mesh
            write_json(item.photo.parent / _RECORD, record)


def past(root: Path) -> tuple[Item, ...]:
    """What lies in an output folder from before, the oldest first."""
    runs = [path for path in root.glob("*/run.json") if is_inside(path, root)]
    runs = sorted(runs, key=lambda path: path.stat().st_mtime)[-_PAST:]
    waiting = {path.parent: path for path in runs}
    found: list[tuple[float, Item]] = []
    state = root / STATE_FOLDER
    for record in state.glob(f"*/{_RECORD}"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            item = _remembered(record, waiting)
            found.append((record.stat().st_mtime, item))
            for one in item.versions:
                waiting.pop(Path(one.result["folder"]), None)
    for folder, path in waiting.items():
        with suppress(OSError, ValueError, KeyError, TypeError):
            key = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
            name = Path(json.loads(path.read_text(encoding="utf-8"))["input"]["path"]).name
            version = Version(1, state="done", result=_result(folder))
            found.append((path.stat().st_mtime, Item(key, state / key / name, (version,))))
    return tuple(item for _, item in sorted(found, key=lambda pair: pair[0]))


def _remembered(record: Path, there: Iterable[Path]) -> Item:
    told = json.loads(record.read_text(encoding="utf-8"))
    versions = tuple(
        Version(int(v["number"]), v["wish"], state="done", result=_result(Path(v["folder"])))
        for v in told["versions"]
        if Path(v["folder"]) in there
    )
    if not versions:
        raise ValueError("nothing is left of it")
    run = json.loads((Path(versions[0].result["folder"]) / "run.json").read_text(encoding="utf-8"))
    photo = record.parent / Path(run["input"]["path"]).name
    return Item(
        record.parent.name, photo, versions, bool(told["asks"]), str(told["group"]),
        told["outline"],
    )  # fmt: skip


def _result(folder: Path) -> dict[str, Any]:
    """What a worker would have told of a folder that is there."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    names = sorted(p.name for p in claims.ours_in(folder) if p.is_file())
    return {
        "folder": str(folder),
        "files": {n: {"size": (folder / n).stat().st_size, "sha256": ""} for n in names},
        "quality": {name: report[name] for name in _QUALITY if name in report},
        "warnings": [str(note) for note in report.get("warnings", [])],
        "seconds": report.get("seconds_this_run", 0.0),
        "cached": report.get("cached", {}),
    }


def is_delivered(name: str) -> bool:
    """Whether img2mesh gives a file in an output folder that name."""
    return name != failures.NAME and any(fnmatchcase(name, one) for one in claims.OURS)


def discard(photo: Path) -> None:
    """Remove a photo and the folder that was made for it."""
    if photo.parent.parent.name == STATE_FOLDER and not photo.parent.is_symlink():
        shutil.rmtree(photo.parent, ignore_errors=True)


def sweep(state: Path, *, older: float = 86_400.0) -> None:
    """Remove photos that nothing came of, some seconds old: another server may have newer ones."""
    for folder in state.iterdir() if state.is_dir() else ():
        with suppress(OSError):
            idle = folder.is_dir() and not folder.is_symlink() and not (folder / _RECORD).exists()
            if idle and time.time() - folder.stat().st_mtime > older:
                shutil.rmtree(folder, ignore_errors=True)


def used(state: Path) -> int:
    """Bytes of all photos and what is kept beside them."""
    total = 0
    for path in state.rglob("*"):
        with suppress(OSError):
            found = path.lstat()
            total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def make_room(state: Path, needed: int, disposable: Iterable[Item], *, limit: int = DISK) -> bool:
    """Drop photos, the first first, until there is room; their meshes stay. False: there is not."""
    there = used(state)
    for item in disposable:
        if there + needed <= limit:
            return True
        if item.photo.parent.parent == state and item.photo.parent.is_dir():
            discard(item.photo)
            there = used(state)
    return there + needed <= limit
