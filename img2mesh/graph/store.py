"""``Store``: results in folders on disk, whole or not at all.

<cache>/v1/<stage>/<2 hex>/<key>/             manifest.json and the files of one result
<cache>/v1/tmp/ and <cache>/v1/locks/         being written, one desk per run; who writes
<cache>/v1/scratch/<2 hex>/<key>-<inputs>/    work in progress that survives crashes
<cache>/v1/quarantine/<2 hex>/<key>-<stage>/  entries found damaged
"""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from img2mesh.errors import CacheError, InputError
from img2mesh.graph.manifest import NAME, Manifest, Unusable, fingerprint, read_entry

RESERVED = ("tmp", "scratch", "quarantine", "locks")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError below ``path`` into a CacheError that names path and cause."""
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"the cache cannot be used at {error.filename or path}: {error.strerror or error}; "
            "make room, choose another --cache-dir, or do without one: --no-cache"
        ) from error


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[bool | None]:
    """Hold a lock file: True, False if somebody else does, None if the file system cannot tell.

    With ``on_wait``, which is called once, what somebody else holds is waited for. Locks only save
    work (truth is kept by renames): where there are none, it goes on without.
    """
    from filelock import FileLock, Timeout  # 30 ms that --help need not pay

    # Soft locks would survive a crash: better none than one that has to be broken by hand.
    lock = FileLock(path, fallback_to_soft=False)
    held: bool | None = True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        held = False
    except (OSError, NotImplementedError):
        held = None
    try:
        if held is False and on_wait:
            on_wait()
            lock.acquire()
            held = True
        yield held
    finally:
        lock.release()


@dataclass(frozen=True, order=True)
class Item:
    """One thing that takes up room in the store."""

    used: float  # when it was last used, seconds since the epoch
    stage: str  # or "scratch", or "quarantine"
    key: str
    folder: Path

    @property
    def size(self) -> int:
        """Bytes on disk."""
        with suppress(OSError):  # somebody else may be moving it
            return sum(path.lstat().st_size for path in self.folder.rglob("*"))
        return 0

    manifest = property(lambda self: read_entry(self.folder, whole=False))


class Store:
    """A cache folder. Nothing is created before something is written."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute() / "v1"

    def folder(self, stage: str, key: str, more: str = "") -> Path:
        """Where the entry of a key lies, or would."""
        return self.root / stage / key[:2] / f"{key}{more}"

    @contextmanager
    def desk(self) -> Iterator[Path]:
        """The name of a folder to write in while a run goes on; sweeps the desks of the dead."""
        mine = self.root / "tmp" / uuid.uuid4().hex
        lock = mine.with_suffix(".lock")
        with locked(lock, lambda: None):  # before the folder is there, or it might be swept
            with suppress(OSError):
                for other in set(mine.parent.glob("*.lock")) - {lock}:
                    with locked(other) as held:
                        if held:
                            shutil.rmtree(other.with_suffix(""), ignore_errors=True)
                            other.unlink()
            try:
                yield mine
            finally:
                shutil.rmtree(mine, ignore_errors=True)
                with suppress(OSError):
                    lock.unlink()

    def look(self, stage: str, key: str, codec: int) -> Manifest | Unusable | None:
        """The entry of a key, verified to the last byte, if its files have the codec's version."""
        with explained(self.root):
            found = read_entry(self.folder(stage, key), whole=True)
            if found is None and self.folder("quarantine", key, f"-{stage}").exists():
                return Unusable("damaged", "it was set aside in quarantine")
            if isinstance(found, Manifest) and found.codec != codec:
                return Unusable("format", f"version {found.codec} of its files")
            return found

    def touch(self, stage: str, key: str) -> None:
        """Remember that an entry was used now; a read-only cache does not mind."""
        with suppress(OSError):
            os.utime(self.folder(stage, key))

    def quarantine(self, stage: str, key: str) -> None:
        """Set what lies at a key aside. Hold its lock."""
        folder, aside = self.folder(stage, key), self.folder("quarantine", key, f"-{stage}")
        with explained(aside):
            if folder.exists():
                aside.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)

    def commit(self, folder: Path, manifest: Manifest) -> None:
        """Make a folder the entry of its key, in one rename, for what was there. Hold its lock."""
        key = fingerprint(manifest.recipe)
        target = self.folder(manifest.recipe["stage"], key)
        with explained(target):
            (folder / NAME).write_bytes(manifest.to_bytes())
            for path in (*folder.rglob("*"), folder):
                _sync(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                target.rename(folder.with_name(f"{key}-replaced"))
            folder.rename(target)
            _sync(target.parent)

    def items(self, stage: str = "*") -> list[Item]:
        """Everything that takes up room, least recently used first."""
        found = []
        for folder in self.root.glob(f"{stage}/??/*"):
            stage, key = folder.parent.parent.name, folder.name.partition("-")[0]
            found.append(Item(_used(folder), stage, key, folder))
        return sorted(found)

    def entries(self) -> list[Item]:
        """The results, least recently used first."""
        return [item for item in self.items() if item.stage not in RESERVED]

    def show(self, prefix: str) -> Item:
        """The one entry whose key begins with ``prefix``; InputError if there is not just one."""
        found = [item for item in self.entries() if item.key.startswith(prefix)]
        if len(found) != 1 or not isinstance(found[0].manifest, Manifest):
            names = ", ".join(f"{item.stage} {item.key}" for item in found[:4]) or "none"
            raise InputError(f"{prefix!r} must begin the key of one intact entry, not of {names}")
        return found[0]

    def verify(self) -> list[tuple[Item, str]]:
        """Check every entry; set the damaged ones aside, and return them with what was wrong."""
        bad = []
        for item in self.entries():
            with locked(self.root / "locks" / item.key) as held:
                found = read_entry(item.folder, whole=True)
                if isinstance(found, Unusable) and held is not False:
                    self.quarantine(item.stage, item.key)
                    bad.append((item, found.detail))
        return bad

    def trim(self, max_bytes: int) -> list[Item]:
        """Delete until at most ``max_bytes`` are left: quarantine first, then by last use.

        Never what is locked, or used since the oldest run still going on began: more may be left.
        """
        gone: list[Item] = []
        with explained(self.root), self.desk() as mine:
            mine.mkdir(parents=True)
            began = min(map(_used, mine.parent.glob("*.lock")), default=math.inf)
            items = sorted(self.items(), key=lambda item: item.stage != "quarantine")
            left = sum(item.size for item in items)
            for item in items:
                with locked(self.root / "locks" / item.key) as held:
                    if left > max_bytes and held is not False and item.used < began:
                        left -= item.size
                        item.folder.rename(mine / f"{len(gone)}")
                        (self.root / "locks" / item.key).unlink(missing_ok=True)
                        gone.append(item)
        return gone


def _used(path: Path) -> float:
    with suppress(OSError):  # it may just have gone
        return path.stat().st_mtime
    return math.inf


def _sync(path: Path) -> None:
    """Force a file, or a folder's names, to disk. Windows cannot: there, reading must notice."""
    if os.name != "nt":
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
