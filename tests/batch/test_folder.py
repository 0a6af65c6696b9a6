"""The journal and the contact sheet: what a crash, a full disk or a hand can do to them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from img2mesh.batch.folder import Folder, JsonLines, open_folder, read_lines
from img2mesh.batch.sheet import ContactSheet
from img2mesh.errors import InputError


def test_a_torn_last_line_was_never_there(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    lines = JsonLines(path)
    lines.append({"item": "a"})
    lines.append({"item": "b", "text": "two\nlines, \u2028 and ümlaut"})
    lines.close()
    whole = path.read_bytes()
    for cut in range(1, len(whole) - whole.index(b"\n") - 1):
        path.write_bytes(whole[:-cut])
        assert [line["item"] for line in read_lines(path)] == ["a"]
        again = JsonLines(path)
        again.append({"item": "c"})
        again.close()
        assert [line["item"] for line in read_lines(path)] == ["a", "c"]
        assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_file_that_is_one_torn_line(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b'{"item"' * 20_000)
    JsonLines(tmp_path / "l").close()
    assert (tmp_path / "l").read_bytes() == b""


def test_a_damaged_line_costs_that_line(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_bytes(b'{"item": "a"}\n\x00\xff garbage\n[1]\n{"item": "b"}\n')
    assert [line["item"] for line in read_lines(path)] == ["a", "b"]


def test_a_full_disk_leaves_no_half_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    lines = JsonLines.__new__(JsonLines)
    lines._file, lines._durable = os.open("/dev/full", os.O_WRONLY), False
    with pytest.raises(OSError, match="No space left"):
        lines.append({"item": "a"})
    lines.close()


def test_a_record_from_the_future_is_not_touched(tmp_path: Path) -> None:
    record = {"version": 99, "inputs": "x", "items": 1, "id": "y"}
    (tmp_path / "batch.json").write_text(json.dumps(record))
    with (
        pytest.raises(InputError, match="later version"),
        open_folder(tmp_path, inputs="x", resume=True),
    ):
        pass


def sheet_of(folder: Folder) -> list[dict[str, object]]:
    """The cards in index.html, read as a browser reads them."""
    page = folder.sheet.read_text()
    found = re.search(r'<script type="application/json" id="cards">(.*?)</script>', page, re.S)
    assert found
    cards: list[dict[str, object]] = json.loads(found[1])
    return cards


def line(name: str, **more: object) -> dict[str, object]:
    return {"item": name, "status": "done", "input": name, "seconds": 1.0, "attempts": 1, **more}


def test_the_sheet_asks_the_network_for_nothing_and_quotes_what_it_shows(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "id")
    (tmp_path / ".batch").mkdir()
    page = ContactSheet(folder)
    page.draw()
    assert sheet_of(folder) == []
    nasty = "</script><script>alert(1)</script><!--"
    page.add(line(nasty, warnings=[nasty]), "data:image/webp;base64,AAAA")
    page.add(line("b", status="failed", error=nasty), None)
    page.draw()
    page.close()
    cards = sheet_of(folder)
    assert [card["name"] for card in cards] == [nasty, "b"]
    assert nasty not in folder.sheet.read_text()
    assert "default-src 'none'" in folder.sheet.read_text()
    assert not re.search(r'(src|href)="(?!data:)', folder.sheet.read_text())


def test_endings_without_a_card_get_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "id")
    (tmp_path / ".batch").mkdir()
    folder.journal.write_text(json.dumps(line("a")) + "\n" + json.dumps(line("b")) + "\n")
    page = ContactSheet(folder)
    page.add(line("a"), "data:image/webp;base64,AAAA")
    page.close()
    page = ContactSheet(folder)
    page.add_missing()
    page.draw()
    page.close()
    assert [(card["name"], bool(card["thumbnail"])) for card in sheet_of(folder)] == [
        ("a", True),
        ("b", False),
    ]
