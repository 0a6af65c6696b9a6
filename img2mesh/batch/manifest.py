"""A list of inputs with settings of their own: CSV with a header, or one JSON object a line.

Cells are separated by commas, semicolons or tabs, as spreadsheets write them.
"""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from img2mesh.batch.items import RESERVED, Entry
from img2mesh.core.names import safe_name
from img2mesh.errors import InputError
from img2mesh.io.inputs import mask_beside, refuse_address
from img2mesh.io.moved_files import path_of

COLUMNS = ("path", "mask", "name", "preset")
_EXPECTED = f"{', '.join(COLUMNS)} or a setting such as radiance.grid"
_LONGEST_NAME = 150
#: What spreadsheets put between cells; where none is, the first.
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}


def read_manifest(path: Path) -> list[Entry]:
    """The entries of a ``.csv`` or ``.jsonl`` file; paths in it are relative to its folder.

    Raises:
        InputError: unreadable, of another kind, empty, or a bad line, named by its number.
    """
    readers = {".csv": _csv_lines, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"the manifest {str(path)!r} must end in .csv or .jsonl")
    if path.exists() and not path.is_file():  # a pipe may never end
        raise InputError(f"the manifest {str(path)!r} is no regular file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the manifest {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {number}: is not UTF-8 text; save it as UTF-8") from error
    entries = [
        _entry(fields, path.parent, f"{path}, line {number}")
        for number, fields in reader(text, path)
    ]
    if not entries:
        raise InputError(f"the manifest {str(path)!r} lists nothing; expected an input a line")
    return entries


def _csv_lines(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    lines = text.splitlines(keepends=True)
    start = 1
    if lines and re.fullmatch(r"sep=.", lines[0].strip()):  # of Excel, for itself
        lines, start = lines[1:], 2
    separator = _separator(next((line for line in lines if line.strip()), ""))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    first = start
    header: list[str] | None = None
    try:
        for row in reader:
            # A quoted cell may span lines: the row is named by its first.
            number, start = start, reader.line_num + first
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if header is None:
                header = [cell.lower() for cell in cells]
                _check_header(header, f"{path}, line {number}")
                continue
            if len(cells) > len(header):
                raise InputError(
                    f"{path}, line {number}: has {len(cells)} cells, but the header names "
                    f"{len(header)} columns; quote cells that hold a {_SEPARATORS[separator]}"
                )
            yield number, {k: v for k, v in zip(header, cells, strict=False) if v}
    except csv.Error as error:
        raise InputError(
            f"{path}, line {max(start, reader.line_num + first - 1)}: {error}"
        ) from error


def _separator(header: str) -> str:
    """What stands between the columns: of a spreadsheet's three, the one there is most of."""
    return max(_SEPARATORS, key=header.count)


def _check_header(header: list[str], where: str) -> None:
    if "path" not in header:
        raise InputError(
            f"{where}: the header has no column 'path'; expected a first line such as "
            "path,name,radiance.grid"
        )
    for name in header:
        if header.count(name) > 1:
            raise InputError(f"{where}: the column {name!r} comes twice")


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: is not JSON ({error})") from error
        if not isinstance(fields, dict):
            raise InputError(
                f"{path}, line {number}: expected one JSON object a line, such as "
                '{"path": "chair.png"}'
            )
        yield number, {k: v for k, v in fields.items() if v is not None or "." in k}


def _entry(fields: Mapping[str, Any], folder: Path, where: str) -> Entry:
    texts: dict[str, str] = {}
    assignments: list[str] = []
    for key, value in fields.items():
        if key in COLUMNS:
            if not isinstance(value, str) or not value or "\0" in value:
                raise InputError(f"{where}: {key!r} expects text, got {value!r}")
            texts[key] = value
        elif "." in key:
            assignments.append(f"{key}={_setting(key, value, where)}")
        else:
            close = difflib.get_close_matches(key, COLUMNS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected {_EXPECTED}"
            raise InputError(f"{where}: unknown column {key!r}; {hint}")
    if "path" not in texts:
        raise InputError(f"{where}: names no picture; expected a 'path'")
    refuse_address(texts["path"])
    source = path_of(folder, texts["path"])
    return Entry(
        source=source,
        mask=path_of(folder, texts["mask"]) if "mask" in texts else mask_beside(source),
        name=_name(texts["name"], where) if "name" in texts else None,
        preset=texts.get("preset"),
        assignments=tuple(assignments),
        origin=where,
    )


def _setting(key: str, value: object, where: str) -> str:
    """A JSON value in the spelling ``--set`` reads."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"{where}: {key!r} expects a number, text, true or false, got {value!r}")


def _name(name: str, where: str) -> str:
    safe = name == safe_name(name) and name.isprintable()
    if not safe or name.startswith(".") or len(name) > _LONGEST_NAME:
        raise InputError(
            f"{where}: {name[:60]!r} cannot name a folder; expected up to {_LONGEST_NAME} "
            "characters without slashes, colons or a leading dot, and no device of Windows"
        )
    if name.casefold() in RESERVED:
        raise InputError(f"{where}: the name {name!r} is the batch's own; choose another")
    return name
