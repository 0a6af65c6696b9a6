"""``Store``: results in folders on disk, whole or not at all.

<cache>/v1/<stage>/<2 hex>/<key>/   manifest.json and the files of one result
<cache>/v1/tmp/                     being written, one desk per run
<cache>/v1/scratch/                 work in progress that survives crashes
<cache>/v1/locks/  quarantine/      one lock per key; entries found damaged
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from img2mesh.errors import InputError
from img2mesh.graph.locks import Desk, desk, explained, keys_in_use, locked
from img2mesh.graph.manifest import NAME, Manifest, Unusable, read_manifest, verify

RESERVED = ("tmp", "scratch", "locks", "quarantine")


@dataclass(frozen=True)
class Entry:
    """One result and where it lies."""

    folder: Path
    manifest: Manifest


@dataclass(frozen=True, order=True)
class Item:
    """One thing that takes up room in the store."""

    used: float  # when it was last used, seconds since the epoch
    kind: str  # "entry", "scratch" or "quarantine"
    stage: str  # empty for scratch
    key: str
    folder: Path
    size: int  # bytes


class Store:
    """A cache folder (``~`` is understood). Nothing is created before something is written."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute() / "v1"

    def folder(self, stage: str, key: str) -> Path:
        """Where the entry of a key lies, or would."""
        return self.root / stage / key[:2] / key

    def scratch(self, key: str, witness: str) -> Path:
        """The scratch folder of a key whose inputs have the digests fingerprinted ``witness``."""
        return self.root / "scratch" / f"{key}-{witness[:8]}"

    def lock(self, key: str, on_wait: Callable[[], None]) -> AbstractContextManager[bool | None]:
        """Hold the lock of a key, waiting for whoever has it."""
        return locked(self.root / "locks" / f"{key}.lock", on_wait=on_wait)

    def desk(self, uses: Collection[str]) -> AbstractContextManager[Desk]:
        """A place to write in, for as long as a run goes on, that keeps ``uses`` from trim."""
        return desk(self.root / "tmp", uses)

    def look(self, stage: str, key: str, codec: int) -> Manifest | Unusable | None:
        """The entry of a key, verified to the last byte; changes nothing.

        Args:
            stage: the stage's name.
            key: the key.
            codec: version of the file format that can be read.

        Raises:
            CacheError: the cache cannot be read.
        """
        folder = self.folder(stage, key)
        found = read_manifest(folder)
        if found is None and self._quarantined(stage, key).exists():
            return Unusable("damaged", "it was set aside in quarantine")
        if not isinstance(found, Manifest):
            return found
        if (found.stage, found.key) != (stage, key):
            return Unusable("damaged", "it belongs elsewhere")
        if found.codec != codec:
            return Unusable("format", f"version {found.codec} of its files")
        return verify(folder, found) or found

    def touch(self, stage: str, key: str) -> None:
        """Remember that an entry was used now; a read-only cache does not mind."""
        with suppress(OSError):
            os.utime(self.folder(stage, key))

    def quarantine(self, stage: str, key: str) -> None:
        """Set what lies at a key aside. Hold its lock.

        Raises:
            CacheError: it cannot be moved.
        """
        aside = self._quarantined(stage, key)
        with explained(aside), suppress(FileNotFoundError):
            if self.folder(stage, key).exists():
                aside.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(aside, ignore_errors=True)
                self.folder(stage, key).rename(aside)

    def _quarantined(self, stage: str, key: str) -> Path:
        return self.root / "quarantine" / f"{stage}-{key}"

    def commit(self, desk: Desk, folder: Path, manifest: Manifest) -> Manifest:
        """Make a sealed folder the entry of its key, in one rename; returns what is there then.

        What is there already is replaced: the caller has looked, under the lock, and found it
        stale, damaged or forced. Where locks lie and another process got there in between, the
        first rename wins.

        Raises:
            CacheError: it cannot be written.
        """
        target = self.folder(manifest.stage, manifest.key)
        with explained(target):
            with (folder / NAME).open("xb") as file:
                file.write(manifest.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            _sync(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                desk.drop(target)
            try:
                folder.rename(target)
            except OSError:
                theirs = self.look(manifest.stage, manifest.key, manifest.codec)
                if isinstance(theirs, Manifest):
                    return theirs
                raise
            _sync(target.parent)
        return manifest

    def recent(self, stage: str, limit: int = 500) -> Iterator[Manifest]:
        """Manifests of a stage's entries, most recently used first; unreadable ones left out."""
        used = {folder: _used(folder) for folder in (self.root / stage).glob("??/*")}
        for folder in sorted(used, key=lambda folder: used[folder], reverse=True)[:limit]:
            manifest = read_manifest(folder)
            if isinstance(manifest, Manifest):
                yield manifest

    def items(self) -> list[Item]:
        """Everything that takes up room, least recently used first."""
        found = []
        for folder in [*self.root.glob("scratch/*"), *self.root.glob("quarantine/*")]:
            stage, _, key = folder.name.rpartition("-")
            if folder.parent.name == "scratch":
                stage, key = "", stage
            found.append((folder, folder.parent.name, stage, key))
        for folder in self.root.glob("*/??/*"):
            stage = folder.parent.parent.name
            if stage not in RESERVED:
                found.append((folder, "entry", stage, folder.name))
        return sorted(
            (Item(_used(folder), kind, stage, key, folder, _size(folder)))
            for folder, kind, stage, key in found
        )

    def entries(self) -> list[Item]:
        """The results, least recently used first."""
        return [item for item in self.items() if item.kind == "entry"]

    def size(self) -> int:
        """Bytes of everything."""
        return sum(item.size for item in self.items())

    def show(self, prefix: str) -> Entry:
        """The one entry whose key begins with ``prefix``; files not verified.

        Raises:
            InputError: no entry, several, or one whose manifest is damaged.
        """
        found = [item for item in self.entries() if item.key.startswith(prefix)]
        if len(found) != 1:
            names = ", ".join(f"{item.stage} {item.key}" for item in found[:4])
            raise InputError(f"{len(found)} cache entries begin with {prefix!r}, not one. {names}")
        manifest = read_manifest(found[0].folder)
        if not isinstance(manifest, Manifest):
            raise InputError(f"{found[0].folder} is damaged; run img2mesh cache verify")
        return Entry(found[0].folder, manifest)

    def verify(self) -> list[tuple[Item, str]]:
        """Check every entry; set the damaged ones aside, and return them with what was wrong."""
        bad = []
        for item in self.entries():
            manifest = read_manifest(item.folder)
            codec = manifest.codec if isinstance(manifest, Manifest) else 0
            found = self.look(item.stage, item.key, codec)
            if isinstance(found, Unusable):
                with self.lock(item.key, lambda: None):
                    self.quarantine(item.stage, item.key)
                bad.append((item, found.detail))
        return bad

    def trim(self, max_bytes: int) -> list[Item]:
        """Delete until at most ``max_bytes`` are left: quarantine first, then by last use.

        Never what is locked, and never what a run going on relies on; so more may be left.

        Returns:
            What was deleted.
        """
        items = sorted(self.items(), key=lambda item: item.kind != "quarantine")
        left = sum(item.size for item in items)
        gone = []
        for item in items:
            lock = self.root / "locks" / f"{item.key}.lock"
            if left <= max_bytes:
                break
            with self.desk(()) as mine, locked(lock) as held:
                if held is not False and item.key not in keys_in_use(self.root / "tmp"):
                    mine.drop(item.folder)
                    lock.unlink(missing_ok=True)
                    left -= item.size
                    gone.append(item)
        return gone


def _sync(folder: Path) -> None:
    """Force a folder's names to disk."""
    if os.name == "nt":  # folders cannot be opened there, and NTFS journals names itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _used(folder: Path) -> float:
    with suppress(OSError):
        return folder.stat().st_mtime
    return 0.0


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.lstat().st_size
    return size
