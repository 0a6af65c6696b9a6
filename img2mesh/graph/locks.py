"""Operating-system locks, freed by the kernel when a process dies, and a run's desk.

A lock here only saves work: it keeps two processes from making the same thing, and cleaning up
from clearing the desk of the living. Truth is kept by renames. So where a file system has no
locks, the work goes on without.
"""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from img2mesh.errors import CacheError


@contextmanager
def locked(path: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[bool | None]:
    """Hold the lock file ``path``: True, or False if somebody else does, None if none can tell.

    Args:
        path: the lock file; made where it is missing, and left behind.
        on_wait: called once if somebody else holds the lock, which is then waited for; with None
            nobody waits.
    """
    from filelock import FileLock, Timeout  # 30 ms that --help need not pay

    # Soft locks would survive a crash: better none than one that has to be broken by hand.
    lock = FileLock(path, fallback_to_soft=False)
    held: bool | None = True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            held = False
            if on_wait is not None:
                on_wait()
                lock.acquire()
                held = True
    except (OSError, NotImplementedError):
        held = None
    try:
        yield held
    finally:
        lock.release()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a failed write below ``path`` into a CacheError that names path and cause."""
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"the cache could not be written at {error.filename or path}: "
            f"{error.strerror or error}; make room, choose another folder with --cache-dir, "
            "or do without with --no-cache"
        ) from error


class Desk:
    """A folder to write in, on the file system of the store, for as long as a run goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def new_folder(self) -> Path:
        """An empty folder.

        Raises:
            CacheError: it cannot be made.
        """
        self._count += 1
        folder = self.folder / str(self._count)
        with explained(folder):
            folder.mkdir(parents=True)
        return folder

    def drop(self, folder: Path) -> None:
        """Move a folder out of sight in one rename, then delete it.

        Raises:
            CacheError: it cannot be moved.
        """
        aside = self.new_folder()
        with explained(folder), suppress(FileNotFoundError):
            folder.rename(aside / folder.name)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def desk(tmp: Path, uses: Collection[str] = ()) -> Iterator[Desk]:
    """Sit down: lock a desk, write down the keys in use, sweep the desks of the dead.

    A store that cannot be written is no error yet: what is cached can still be read.
    """
    here = f"{socket.gethostname()}-"
    mine = tmp / f"{here}{os.getpid()}-{uuid.uuid4().hex[:12]}"
    lock = mine.with_suffix(".lock")
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(locked(lock))  # the lock first: a folder without one gets swept
            mine.mkdir(parents=True)
            (mine / "uses").write_text("\n".join(uses), encoding="ascii")
            for other in set(tmp.glob(f"{here}*.lock")) - {lock}:
                with locked(other) as held:
                    if held:
                        shutil.rmtree(other.with_suffix(""), ignore_errors=True)
                        other.unlink()
        try:
            yield Desk(mine)
        finally:
            shutil.rmtree(mine, ignore_errors=True)
            with suppress(OSError):
                lock.unlink()


def keys_in_use(tmp: Path) -> set[str]:
    """The keys that runs of living processes rely on, this one's included."""
    found: set[str] = set()
    for uses in tmp.glob("*/uses"):
        with locked(uses.parent.with_suffix(".lock")) as held, suppress(OSError):
            if held is False:
                found.update(uses.read_text(encoding="ascii").split())
    return found
