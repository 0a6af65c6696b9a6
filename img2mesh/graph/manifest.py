"""An entry's manifest: what was made, from what, how; and the check that it is all still there."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from img2mesh.errors import CacheError
from img2mesh.graph.keys import fingerprint

SCHEMA = 1
NAME = "manifest.json"
# What file managers leave in the folders they show: harmless, and never part of a result.
_LITTER = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Manifest:
    """The description of one entry, written last: where it is whole, the entry is complete."""

    stage: str
    version: int
    key: str
    settings: dict[str, Any]  # all of them, resolved
    identity: dict[str, str]
    # Per input its recipe "ref" (key, or `leaf:` and digest) and the "digest" of the very content
    # that was used: the witness against mixed chains.
    inputs: dict[str, dict[str, str]]
    leaves: dict[str, str]  # name → digest of everything from outside that this hangs on
    codec: int  # version of the files' format
    files: dict[str, list[Any]]  # relative name → [bytes, sha256]
    digest: str  # of `files`: the content, as later stages witness it
    seconds: float  # that making it took
    device: str
    packages: dict[str, str]  # versions
    notes: list[str]  # what the stage wanted the user to know
    created: str  # UTC, ISO 8601
    schema: int = SCHEMA  # of this description

    def to_bytes(self) -> bytes:
        """Indented, sorted JSON, with the fingerprint of it all as ``check``."""
        fields = asdict(self)
        fields["check"] = fingerprint(fields)
        return (json.dumps(fields, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


@dataclass(frozen=True)
class Unusable:
    """Something lies where an entry should be, but cannot be served."""

    kind: str  # "damaged", or "format" for a version of manifest or files nobody here knows
    detail: str


def listing(folder: Path) -> list[str]:
    """Relative names of an entry's files but the manifest, sorted; litter left out."""
    names = [
        (Path(parent) / file).relative_to(folder).as_posix()
        for parent, _, files in os.walk(folder)
        for file in files
        if not file.startswith(".") and file.lower() not in _LITTER
    ]
    return sorted(name for name in names if name != NAME)


def seal(folder: Path) -> tuple[dict[str, list[Any]], str]:
    """Force an entry's files to disk; return their sizes and sha256, and the digest of it all."""
    files: dict[str, list[Any]] = {}
    for name in listing(folder):
        with (folder / name).open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
            files[name] = [file.tell(), digest]
    return files, fingerprint(files)


def read_manifest(folder: Path) -> Manifest | Unusable | None:
    """The manifest of the entry at ``folder``; None where there is no entry.

    Raises:
        CacheError: it is there, but may not be read.
    """
    try:
        data = (folder / NAME).read_bytes()
        fields = json.loads(data)
        if fields["schema"] != SCHEMA:
            return Unusable("format", f"manifest schema {str(fields['schema'])[:40]}")
        del fields["check"]
        manifest = Manifest(**fields)
        # To the byte: no flipped bit goes unseen, not even one in a blank.
        return manifest if manifest.to_bytes() == data else Unusable("damaged", f"{NAME} altered")
    except (FileNotFoundError, NotADirectoryError):
        return Unusable("damaged", f"{NAME} missing") if folder.exists() else None
    except PermissionError as error:
        raise CacheError(f"the cache cannot be read at {folder}: {error.strerror}") from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Unusable("damaged", f"{NAME} unreadable")


def verify(folder: Path, manifest: Manifest) -> Unusable | None:
    """Compare every file's name, size and sha256 with the manifest; None if all is well.

    Raises:
        CacheError: a file may not be read.
    """
    odd = set(listing(folder)) ^ set(manifest.files)
    if odd:
        return Unusable("damaged", f"{min(odd)} missing or not its own")
    try:
        for name, (size, digest) in manifest.files.items():
            with (folder / name).open("rb") as file:
                same = os.fstat(file.fileno()).st_size == size
                if not same or hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return Unusable("damaged", f"{name} altered")
    except PermissionError as error:
        raise CacheError(f"the cache cannot be read at {folder}: {error.strerror}") from error
    except OSError as error:
        return Unusable("damaged", str(error.strerror))
    return None
