"""Whose an output folder is: claimed for a run's time, so that two runs never share one.

A folder belongs to the input that its run.json names. While a run works, ``.img2mesh-claim.json``
in it says who writes there; the claim of a process that is no more counts for nothing. Where the
folder of an input's name belongs to another, or holds files that img2mesh did not write, the run
goes to a folder beside it and says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from img2mesh.core import failures, system
from img2mesh.errors import Img2MeshError
from img2mesh.jobs.job import Job
from img2mesh.jobs.request import OutputOptions, Request

CLAIM = ".img2mesh-claim.json"
RECORD = "run.json"
#: Every name that a run may write: a file of such a name is either an earlier run's or foreign.
OURS = (
    "mesh.*", "mesh_texture.*", "mesh_normal.*", "mesh_lod*.glb", "mesh_collision.glb",
    "mesh*_meshopt.glb", "photo.png", "cutout.png", "views.png", "refined.png", "depths.png",
    "preview.png", "game.png", "turntable.webp", "asset.zip", "report.json", "report.html",
    RECORD, failures.NAME,
)  # fmt: skip


@contextmanager
def claimed(
    root: Path, job: Job, request: Request, options: OutputOptions
) -> Iterator[tuple[Path, str | None]]:
    """``root/<stem>`` for the time of a run, or a folder beside it that is free.

    Two runs of one input with the same settings share a folder, as they make the same files.

    Yields:
        The folder and a sentence if its name had to change.

    Raises:
        Img2MeshError: the folder cannot be made.
    """
    require_writable(root / job.stem)
    mine = _claim(job, request, options)
    folder, sentence = root / job.stem, None
    for number in count(1):
        why = _taken(folder, job, mine)
        if why is None and (held := _hold(folder, mine)) is not False:
            break
        why = why or f"{folder} is being written by another run"
        name = f"{job.stem}-{job.digest[:8]}"
        folder = root / (name if number == 1 else f"{name}-{number}")
        sentence = f"{why}; writing to {folder}"
    try:
        yield folder, sentence
    finally:
        if isinstance(held, list):
            _release(folder, held)


def require_writable(folder: Path) -> None:
    """Find out before the work whether the folder, or what is there of its path, takes files.

    Raises:
        Img2MeshError: no; names the part of the path that is in the way.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise Img2MeshError(f"cannot write the results to {folder}: {there} is no folder")
        with tempfile.TemporaryFile(dir=there):
            return
    except OSError as error:
        raise Img2MeshError(
            f"cannot write the results to {folder}: {error.strerror or error}; choose another -o"
        ) from error


def require_ours(folder: Path) -> None:
    """Find out that a folder whose name cannot change holds what img2mesh did not write.

    Raises:
        Img2MeshError: yes; names one such file.
    """
    if (file := foreign(folder)) is not None:
        raise Img2MeshError(
            f"{file} is there already and was not written by img2mesh: move it, or choose another "
            "-o"
        )


def foreign(folder: Path) -> Path | None:
    """A file that a run may overwrite and that no run wrote, or None."""
    record = _read(folder / RECORD)
    owner = record.get("input")
    recorded = isinstance(owner, dict) and "digest" in owner  # other programs have a run.json too
    if recorded and "delivered" not in record:
        return None  # by a version that kept no list
    if _read(folder / CLAIM).get("writing"):
        return None  # of a run that did not come to its end
    listed = record.get("delivered")
    known = {*map(str, listed if isinstance(listed, list) else ()), RECORD} if recorded else set()
    return next((file for file in ours_in(folder) if file.name not in known), None)


def ours_in(folder: Path) -> list[Path]:
    """What lies in a folder under a name that a run may write, sorted."""
    found = {file for pattern in OURS for file in folder.glob(pattern)}
    return sorted(file for file in found if file.name != failures.NAME)


def writing(folder: Path) -> None:
    """Say in the claim that files are being placed: should the run end now, they are its own."""
    with suppress(OSError):
        if claim := _read(folder / CLAIM):
            (folder / CLAIM).write_text(json.dumps({**claim, "writing": True}), encoding="utf-8")


def written(folder: Path) -> None:
    """The files are in place, and listed in run.json."""
    with suppress(OSError):
        if claim := _read(folder / CLAIM):
            claim.pop("writing", None)
            (folder / CLAIM).write_text(json.dumps(claim), encoding="utf-8")


def _claim(job: Job, request: Request, options: OutputOptions) -> dict[str, Any]:
    wanted = repr((sorted(request.settings.items()), request.until, options))
    return {
        "digest": job.digest,
        "settings": hashlib.sha256(wanted.encode()).hexdigest(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "began": system.began(os.getpid()),
    }


def _taken(folder: Path, job: Job, mine: dict[str, Any]) -> str | None:
    """Why a folder is not this run's to write in, or None."""
    try:
        if not folder.is_dir():
            return None
        claim, record = _read(folder / CLAIM), _read(folder / RECORD)
        if _alive(claim) and any(claim.get(k) != mine[k] for k in ("digest", "settings")):
            return f"{folder} is being written by another run"
        owner = record.get("input")
        digest = owner.get("digest") if isinstance(owner, dict) else None
        if digest is None and claim.get("writing"):
            digest = claim.get("digest")
        if digest not in (None, job.digest):
            return f"{folder} belongs to another input of that name"
        if (file := foreign(folder)) is not None:
            return f"{file} was not written by img2mesh"
    except OSError as error:
        raise _unusable(folder, error) from error
    return None


def _hold(folder: Path, mine: dict[str, Any]) -> list[Path] | bool:
    """Lay the claim: the folders made for it; True where a twin holds it, False a stranger."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    inherited: dict[str, Any] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(10):
            try:
                with (folder / CLAIM).open("x", encoding="utf-8") as file:
                    json.dump({**mine, **inherited}, file)
                return made
            except FileExistsError:
                there = _read(folder / CLAIM)
                if _alive(there):
                    return all(there.get(k) == mine[k] for k in ("digest", "settings"))
                # Of several that find a dead claim, one can rename it.
                with suppress(FileNotFoundError):
                    dead = folder / f"{CLAIM}.{os.getpid()}"
                    (folder / CLAIM).rename(dead)
                    dead.unlink()
                    # What a killed run of this input had placed is this run's to replace.
                    inherited = {"writing": True} if there.get("writing") else {}
    except OSError as error:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise _unusable(folder, error) from error
    return False


def _release(folder: Path, made: list[Path]) -> None:
    """Take the claim away, unless half of the files are there, and folders that hold nothing."""
    with suppress(OSError):
        claim = _read(folder / CLAIM)
        if claim.get("writing"):
            text = json.dumps({**claim, "pid": None})
            (folder / CLAIM).write_text(text, encoding="utf-8")
        elif claim.get("pid") == os.getpid():
            (folder / CLAIM).unlink()
        for path in made:
            path.rmdir()  # an OSError, and the end of it, where something lies in it


def _alive(claim: dict[str, Any]) -> bool:
    """Whether the process that laid a claim still runs; on another host it is believed to."""
    if not isinstance(claim.get("pid"), int):
        return False
    if claim.get("host") != socket.gethostname():
        return True
    found = system.began(claim["pid"])
    return found is not None and found == claim.get("began")


def _read(path: Path) -> dict[str, Any]:
    """A file's JSON object; {} where there is none."""
    if not path.is_file():  # nor a pipe, which would be waited for
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _unusable(folder: Path, error: OSError) -> Img2MeshError:
    return Img2MeshError(
        f"cannot write the results to {folder}: {error.strerror or error}; choose another -o"
    )
