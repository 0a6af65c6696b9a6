"""Checkpoint folders on this machine: where they lie, what the lock file says, their hashes.

The lock file records, at the first fetch, the revision and the hash of every file; from then on
the same revision is fetched and the same bytes are demanded. No torch, no network.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2mesh.errors import Img2MeshError

LOCK_NAME = "checkpoints.lock.json"
_CHUNK = 1 << 22


def models_folder() -> Path:
    """Where fetched checkpoints lie: ``$IMG2MESH_MODELS`` or the user's data folder."""
    chosen = os.environ.get("IMG2MESH_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_data_path("img2mesh") / "models"


@dataclass(frozen=True)
class LockedFile:
    """One file as it was first fetched."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Lock:
    """One checkpoint as it was first fetched.

    Attributes:
        repository: where from.
        revision: the commit.
        files: by path inside the checkpoint's folder.
    """

    repository: str
    revision: str
    files: dict[str, LockedFile]


def read_locks(root: Path) -> dict[str, Lock]:
    """All locks by checkpoint name; empty before the first fetch.

    Raises:
        Img2MeshError: the lock file cannot be understood.
    """
    path = root / LOCK_NAME
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["checkpoints"]
        return {
            name: Lock(
                entry["repository"],
                entry["revision"],
                {p: LockedFile(f["sha256"], int(f["size"])) for p, f in entry["files"].items()},
            )
            for name, entry in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Img2MeshError(
            f"{path} is not a lock file of checkpoints ({error!r}); move it away and fetch again"
        ) from None


def write_lock(root: Path, name: str, lock: Lock) -> None:
    """Record one checkpoint; the file is replaced as a whole."""
    entries: dict[str, Any] = {}
    for known, entry in sorted({**read_locks(root), name: lock}.items()):
        entries[known] = {
            "repository": entry.repository,
            "revision": entry.revision,
            "files": {
                p: {"sha256": f.sha256, "size": f.size} for p, f in sorted(entry.files.items())
            },
        }
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f"{LOCK_NAME}.{os.getpid()}"
    text = json.dumps({"format": 1, "checkpoints": entries}, indent=1)
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(root / LOCK_NAME)


def hash_file(path: Path, progress: Callable[[int], None] | None = None) -> LockedFile:
    """Hash a whole file; ``progress`` is told the bytes of every chunk."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if progress is not None:
                progress(len(chunk))
    return LockedFile(digest.hexdigest(), size)


#: Up to this size :func:`fingerprint` reads a file whole; above, this many blocks of 64 KiB.
_WHOLE, _BLOCKS, _BLOCK = 1 << 22, 64, 1 << 16


def fingerprint(folder: Path) -> str:
    """A quick content hash of a checkpoint folder, for cache keys.

    Small files count whole; of large ones the size and evenly spread blocks. Training moves every
    weight, so other weights are told apart; a change of a few bytes may not be (``verify`` reads
    everything). Names of folders above and times play no part. Files that are never read, such as
    ``.py``, do not count.
    """
    digest = hashlib.sha256()
    kinds = {".json", ".txt", ".safetensors", ".bin"}
    files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    for path in files:
        inside = path.relative_to(folder) if path != folder else Path("file")
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or not path.is_file() or (path != folder and path.suffix not in kinds):
            continue
        size = path.stat().st_size
        digest.update(f"{inside.as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _WHOLE:
                digest.update(file.read())
                continue
            for i in range(_BLOCKS):
                file.seek((size - _BLOCK) * i // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()
