"""Recipe → key, known before anything runs; and the manifest of what was made from it."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ENGINE = 1  # of the recipe's form: a bump makes every cache in the world start afresh
SCHEMA = 1  # of the manifest's
NAME = "manifest.json"
# What file managers leave in the folders they show: harmless, and never part of a result.
_LITTER = ("thumbs.db", "desktop.ini")


def fingerprint(value: Any) -> str:
    """blake2b-128 (32 hex digits) of the value's one spelling in JSON. A recipe's is its key."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """The description of one entry, written last: where it is whole, the entry is complete."""

    recipe: dict[str, Any]  # all that decided the result: engine, stage, version, settings, …
    used: dict[str, str]  # input → digest of the very content used: witness against mixed chains
    leaves: dict[str, str]  # name → digest of everything from outside that this hangs on
    codec: int  # version of the files' format
    files: dict[str, list[Any]]  # relative name → [bytes, sha256]
    digest: str  # of `files`: the content, as later stages witness it
    seconds: float  # that making it took
    device: str
    versions: dict[str, str]  # of the packages at work
    notes: list[str]  # what the stage wanted the user to know
    created: str  # UTC, ISO 8601
    schema: int = SCHEMA

    def to_bytes(self) -> bytes:
        """Indented, sorted JSON, with the fingerprint of it all as ``check``."""
        fields = asdict(self)
        fields["check"] = fingerprint(fields)
        return (json.dumps(fields, sort_keys=True, indent=1) + "\n").encode()


@dataclass(frozen=True)
class Unusable:
    """Something lies where an entry should be, but cannot be served."""

    kind: str  # "damaged", or "format" for a version of manifest or files nobody here knows
    detail: str


def scan(folder: Path) -> dict[str, list[Any]]:
    """Relative name → [bytes, sha256] of an entry's files, but for the manifest and litter."""
    files: dict[str, list[Any]] = {}
    for path in (Path(parent, name) for parent, _, names in os.walk(folder) for name in names):
        if path != folder / NAME and path.name[0] != "." and path.name.lower() not in _LITTER:
            with path.open("rb") if path.is_file() else io.BytesIO() as file:  # a pipe would hang
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                files[path.relative_to(folder).as_posix()] = [file.tell(), sha256]
    return files


def read_entry(folder: Path, *, whole: bool) -> Manifest | Unusable | None:
    """The manifest of the entry at ``folder``; None where there is none. ``whole``: files too."""
    try:
        if not (folder / NAME).is_file():
            raise FileNotFoundError(NAME)
        data = (folder / NAME).read_bytes()
        fields = json.loads(data)
        if fields["schema"] != SCHEMA:
            return Unusable("format", f"manifest schema {str(fields['schema'])[:40]}")
        del fields["check"]
        manifest = Manifest(**fields)
        # To the byte: no flipped bit goes unseen, not even one in a blank.
        if manifest.to_bytes() != data or fingerprint(manifest.recipe) != folder.name:
            return Unusable("damaged", f"{NAME} altered")
        now = scan(folder) if whole else manifest.files
        odd = [n for n in now | manifest.files if now.get(n) != manifest.files.get(n)]
        return Unusable("damaged", f"{min(odd)} altered") if odd else manifest
    except (FileNotFoundError, NotADirectoryError):
        return Unusable("damaged", f"{NAME} missing") if folder.exists() else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        return Unusable("damaged", f"unreadable: {type(error).__name__}")
