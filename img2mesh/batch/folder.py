"""The batch's folder: its lock, its journal, what was set aside.

<output>/<name>/                 what an item leaves
<output>/batch.jsonl             the journal: a line an ending; an item's last line counts
<output>/index.html              the contact sheet
<output>/quarantine/<name>.txt   why a bad input was set aside; the input stays where it is
<output>/batch.json              what the batch is
<output>/.batch/                 the lock and its holder, the sheet's cards, workers' logs
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph.store import locked
from img2mesh.io.files import replacing, write_json

VERSION = 1


@contextmanager
def open_folder(root: Path, *, inputs: str, resume: bool) -> Iterator[Folder]:
    """The folder, locked for as long as it is held.

    Args:
        root: where it is or shall be.
        inputs: a digest of the list of inputs.
        resume: go on with what is there.

    Raises:
        InputError: another batch holds it, it holds another batch, or something else entirely.
        Img2MeshError: it cannot be written.
    """
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        record = _record(root)
        (root / ".batch").mkdir(exist_ok=True)
    holder = root / ".batch" / "holder.json"
    with locked(root / ".batch" / "lock") as held:
        if held is False:
            raise InputError(
                f"{root} is in use by {_holder(holder)}; wait for it, or choose another -o"
            )
        record = _record(root)
        if record is not None and not resume and record["inputs"] != inputs:
            raise InputError(
                f"{root} holds a batch of other inputs ({record['items']} items); add --resume to "
                "go on with it, or choose another -o"
            )
        with explained(root):
            who = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
            _write_json(holder, who)
            try:
                yield Folder(root, (record or {}).get("id") or uuid.uuid4().hex)
            finally:
                holder.unlink(missing_ok=True)


def _record(root: Path) -> dict[str, Any] | None:
    """batch.json, or None in a folder that is new or empty."""
    path = root / "batch.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["version"] != VERSION:
            raise InputError(f"{path} was written by a later version of img2mesh; use that one")
        return {"inputs": record["inputs"], "items": record["items"], "id": record["id"]}
    except FileNotFoundError:
        if any(child.name != ".batch" for child in root.iterdir()):
            raise InputError(
                f"{root} holds files but no batch; expected a new or empty folder, or one of an "
                "earlier batch"
            ) from None
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not the record of a batch; choose another -o") from error


def _write_json(target: Path, value: object) -> None:
    with replacing(target) as path:
        write_json(path, value)


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"another batch (process {who['pid']} on {who['host']}, since {who['since']})"
    except (OSError, ValueError, KeyError):
        return "another batch"


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """Turn an OSError into one sentence that says how to go on."""
    try:
        yield
    except OSError as error:
        raise Img2MeshError(
            f"cannot write the batch's folder {error.filename or root}: {error.strerror or error}; "
            "nothing finished is lost: make room, then the same command with --resume goes on"
        ) from error


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Folder:
    """An open, locked batch folder."""

    root: Path
    id: str

    @property
    def logs(self) -> Path:
        """Where workers' libraries print."""
        return self.root / ".batch" / "logs"

    @property
    def cards(self) -> Path:
        """What the contact sheet shows, a JSON object a line."""
        return self.root / ".batch" / "cards.jsonl"

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.root / "batch.jsonl"

    @property
    def sheet(self) -> Path:
        """The contact sheet."""
        return self.root / "index.html"

    def describe(self, *, inputs: str, items: int, settings: Mapping[str, Any]) -> None:
        """Write batch.json."""
        record = {"version": VERSION, "id": self.id, "inputs": inputs, "items": items}
        record |= {"begun": now(), **settings}
        _write_json(self.root / "batch.json", record)

    def quarantine(self, name: str, source: str, reason: str) -> None:
        """Leave the reason why an input was not used."""
        folder = self.root / "quarantine"
        folder.mkdir(exist_ok=True)
        with replacing(folder / f"{name}.txt") as path:
            path.write_bytes(f"{source}\n{reason}\n".encode("utf-8", "backslashreplace"))

    def release(self, name: str) -> None:
        """The input is good after all."""
        (self.root / "quarantine" / f"{name}.txt").unlink(missing_ok=True)

    def forget(self) -> None:
        """Begin anew: the journal and the sheet go, results stay until they are replaced."""
        for path in (self.journal, self.cards, self.sheet):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.root / "quarantine", ignore_errors=True)


class JsonLines:
    """A file of JSON lines that is only ever appended to, each line in one write, on disk at once.

    What a crash left of a last line was never a line: it is cut off when the file is opened.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._durable = durable
        binary = getattr(os, "O_BINARY", 0)  # of Windows, which else writes \r\n
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | binary, 0o666)
        size = os.fstat(self._file).st_size
        whole = _whole(path, size)
        if whole < size:
            os.ftruncate(self._file, whole)

    def append(self, value: Mapping[str, Any]) -> None:
        """Add a line; OSError if it could not be written, and then nothing of it is there."""
        data = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, data) < len(data):  # the disk filled up in the middle
                raise OSError(28, os.strerror(28))
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, before)
            raise
        if self._durable:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _whole(path: Path, size: int) -> int:
    """Bytes up to the last line's end."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line; one that a crash or a hand has damaged is as if it were not there."""
    try:
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    value = json.loads(line)
                    if line.endswith(b"\n") and isinstance(value, dict):
                        yield value
    except FileNotFoundError:
        return
