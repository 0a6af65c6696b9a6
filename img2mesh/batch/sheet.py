"""``index.html``: every item's preview and numbers on one self-contained page, with filters.

A card is appended to a file when its item ends; the page is that file between a head and a tail. So
nothing is kept in memory, and drawing the page is copying bytes. It is redrawn so seldom that it
never takes more than a twentieth of the time, however many items there are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO

from img2mesh.batch.folder import Folder, JsonLines, now, read_lines
from img2mesh.io.files import replacing
from img2mesh.report import words
from img2mesh.report.page import inline_script

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
#: Thumbnails are left out of the cards that come after this many bytes, some 12 000 items.
_LARGEST = 64_000_000
_SECONDS_BETWEEN = 5.0
_SHARE = 20


def card(line: Mapping[str, Any], thumbnail: str | None) -> dict[str, Any]:
    """What the page shows of a line of the journal."""
    quality, warnings = line.get("quality", {}), line.get("warnings", [])
    return {
        "name": line["item"],
        "status": line["status"],
        "input": line["input"],
        "mask": line.get("mask"),
        "error": line.get("error"),
        "seconds": line["seconds"],
        "attempts": line["attempts"],
        "warnings": [one for one in warnings if not words.is_usual(one)],
        "usual": [one for one in warnings if words.is_usual(one)],
        "outline": words.outline(quality),
        "surface": words.surface(quality),
        "match": quality.get("silhouette_iou", {}).get("input"),
        "psnr": quality.get("psnr_views", {}).get("input"),
        "light": quality.get("verdict", {}).get("light"),
        "reasons": quality.get("verdict", {}).get("reasons", []),
        "faces": quality.get("faces"),
        "watertight": quality.get("watertight"),
        "page": "report.html" if "report.html" in line.get("files", []) else None,
        "thumbnail": thumbnail,
    }


class ContactSheet:
    """The page of an open batch folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._lines = JsonLines(folder.cards, durable=False)
        self._size = folder.cards.stat().st_size
        self._last = time.monotonic()
        self._cost = 0.0

    def add_missing(self) -> None:
        """Give every ending in the journal a card, should a crash or a hand have lost some."""
        there = {line.get("name") for line in read_lines(self._folder.cards)}
        for line in read_lines(self._folder.journal):
            with suppress(KeyError):
                if line["item"] not in there:
                    self._lines.append(card(line, None))

    def add(self, line: Mapping[str, Any], thumbnail: str | None) -> None:
        """An item has ended."""
        shown = card(line, thumbnail if self._size < _LARGEST else None)
        self._size += len(shown["thumbnail"] or "") + 400
        self._lines.append(shown)
        if time.monotonic() - self._last >= max(_SECONDS_BETWEEN, _SHARE * self._cost):
            self.draw()

    def draw(self) -> None:
        """Write the page, in one step."""
        began = time.monotonic()
        with replacing(self._folder.sheet) as path:
            self._write(path)
        self._last = time.monotonic()
        self._cost = self._last - began

    def _write(self, path: Path) -> None:
        assets = files("img2mesh.batch") / "assets"
        style = (assets / "sheet.css").read_text(encoding="utf-8")
        script = inline_script((assets / "sheet.js").read_text(encoding="utf-8"))
        title = escape(self._folder.root.absolute().name)
        record = self._record()
        settings = escape(json.dumps(record, indent=1, ensure_ascii=False))
        preset = escape(str(record.get("preset", "default")))
        head = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · img2mesh batch</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="sub">img2mesh batch, as of {now()}. A card shows the photo, then the mesh, and opens its
report. Outlines and colours are compared with the cutout. {words.CAUTION}</p>
<details id="notes" hidden></details>
<details><summary>Settings</summary><pre>{settings}</pre></details>
<div class="bar" id="bar"></div>
<div class="grid" id="grid"></div>
<button class="more" id="more" hidden></button>
<section class="again" id="again" aria-label="Make again" data-preset="{preset}" hidden></section>
</main>
<script type="application/json" id="cards">[
"""
        tail = f"\n]</script>\n<script>{script}</script>\n</body>\n</html>\n"
        with path.open("wb") as page:
            page.write(head.encode("utf-8", "replace"))
            self._copy(page)
            page.write(tail.encode("utf-8"))

    def _record(self) -> dict[str, Any]:
        """What batch.json says of how it was made, as far as it does."""
        with suppress(OSError, ValueError):
            record = json.loads((self._folder.root / "batch.json").read_text(encoding="utf-8"))
            return {k: record[k] for k in ("preset", "settings", "versions") if record.get(k)}
        return {}

    def _copy(self, page: BinaryIO) -> None:
        first = True
        with self._folder.cards.open("rb") as cards:
            for line in cards:
                # No text of a card can end the script element it stands in.
                page.write((b"" if first else b",\n") + line.rstrip().replace(b"<", b"\\u003c"))
                first = False

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
