"""The contact sheet in a real browser: filters, orders and the search show what they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from img2mesh.batch.folder import Folder
from img2mesh.batch.sheet import ContactSheet
from img2mesh.report import words

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")

PIXEL = "data:image/webp;base64,UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="

#: Uses the page as a person does, then leaves what it saw in the page for --dump-dom.
VISITOR = """
<script>
{
const shown = () => [...document.querySelectorAll(".item .title")];
const names = () => shown().map((one) => one.textContent);
const seen = { first: names(), filters: {}, sorts: {}, searches: {} };
for (const button of document.querySelectorAll("#bar button")) {
  button.click();
  seen.filters[button.dataset.filter] = names();
}
document.querySelector("#bar button").click();
const select = document.querySelector("#bar select");
for (const option of select.options) {
  select.value = option.value;
  select.onchange();
  seen.sorts[option.value] = names();
}
const search = document.querySelector("#bar input");
for (const text of ["CUP", "lid", "poem", "nothing of the kind"]) {
  search.value = text;
  search.oninput();
  seen.searches[text] = names();
}
search.value = "";
search.oninput();
seen.text = document.getElementById("grid").textContent;
seen.more = getComputedStyle(document.getElementById("more")).display;
seen.links = [...document.querySelectorAll(".item a")].map((link) => link.getAttribute("href"));
seen.pictures = [...document.querySelectorAll(".item img")].map((image) => image.src.slice(0, 10));
seen.notes = document.getElementById("notes").textContent;
const tick = (n) => document.querySelectorAll(".choose input")[n].click();
const again = document.getElementById("again");
seen.before = again.hidden;
const order = names(); order.forEach((name, n) => { if (["cup", "dog"].includes(name)) tick(n); });
const flags = again.querySelector("input");
flags.value = "--preset high -o more";
flags.oninput();
seen.command = again.querySelector("textarea").value;
seen.settings = document.querySelector("pre").textContent;
document.body.dataset.seen = encodeURIComponent(JSON.stringify(seen));
}
</script>
"""


def visit(page: Path, folder: Path) -> dict[str, Any]:
    copy = folder / "visited.html"
    copy.write_text(page.read_text().replace("</body>", f"{VISITOR}</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    done = subprocess.run(
        [str(CHROMIUM), *flags, "--virtual-time-budget=5000", "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    found = re.search(r'data-seen="([^"]+)"', done.stdout)
    assert found, f"the page's script failed: {done.stdout[-600:]}"
    seen: dict[str, Any] = json.loads(unquote(found[1]))
    return seen


def line(name: str, seconds: float, **more: Any) -> dict[str, Any]:
    return {"item": name, "status": "done", "input": f"/in/{name}.png", "seconds": seconds,
            "attempts": 1, "files": ["report.html"], **more}  # fmt: skip


def quality(match: float, psnr: float, faces: int) -> dict[str, Any]:
    return {"silhouette_iou": {"input": match}, "psnr_views": {"input": psnr}, "faces": faces}


def test_what_a_person_sees(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "id")
    (tmp_path / ".batch").mkdir()
    folder.describe(inputs="x", items=8, settings={"preset": "draft", "settings": {"a": 1}})
    sheet = ContactSheet(folder)
    common = "the back is a guess (7)"
    sheet.add(line("cup", 3, quality=quality(0.9, 30, 10), warnings=[common, "a lid"]), PIXEL)
    usual = "geometric prior: unseen sides are a guess"
    sheet.add(line("axe", 9, quality=quality(0.7, 20, 30), warnings=[common, usual]), PIXEL)
    for name, seconds in (("dog", 4.0), ("elk", 5.0), ("a & <b>", 6.0)):
        told = line(name, seconds, quality=quality(0.95, 25, 20), warnings=[common])
        if name == "dog":
            told |= {"input": "/in/it's.png", "mask": "/in/m.png"}
        sheet.add(told, PIXEL)
    sheet.add(line("bad", 0, status="quarantined", error="/in/bad.png is a poem", files=[]), None)
    sheet.add(line("odd", 1, status="failed", error="a stage failed", files=[]), None)
    sheet.add(line("odd", 2, quality=quality(0.8, 22, 5), warnings=[], attempts=2), None)
    sheet.draw()
    sheet.close()

    seen = visit(folder.sheet, tmp_path)
    everything = ["cup", "axe", "dog", "elk", "a & <b>", "bad", "odd"]
    assert sorted(seen["first"]) == sorted(everything), "an item's last card counts"
    assert seen["filters"]["done"] == [n for n in seen["first"] if n != "bad"]
    assert seen["filters"]["failed"] == []
    assert seen["filters"]["quarantined"] == ["bad"]
    assert seen["filters"]["warnings"] == ["cup"], "what is said of most says nothing of one"
    assert seen["notes"].startswith("2 notes") and common in seen["notes"]
    assert "unseen sides are a guess" in seen["notes"]
    assert "unseen sides" not in seen["text"]
    assert seen["sorts"]["match"][:3] == ["axe", "odd", "cup"]
    assert seen["sorts"]["psnr"][:2] == ["axe", "odd"]
    assert seen["sorts"]["seconds"][:2] == ["axe", "a & <b>"]
    assert seen["sorts"]["faces"][0] == "axe"
    assert seen["sorts"]["name"] == sorted(everything)
    assert seen["searches"] == {
        "CUP": ["cup"], "lid": ["cup"], "poem": ["bad"], "nothing of the kind": [],
    }  # fmt: skip
    assert "bad.png is a poem" in seen["text"] and "/in/bad.png" not in seen["text"]
    # No number praises a cutout: what it is held against stands above all, and no dB on a card.
    assert (
        "agrees with the cutout: 90.0\N{NO-BREAK SPACE}%" in seen["text"]
        and "dB" not in seen["text"]
    )
    assert words.CAUTION in folder.sheet.read_text()
    assert '"preset": "draft"' in seen["settings"] and '"a": 1' in seen["settings"]
    assert seen["before"] is True
    assert seen["command"].splitlines() == [
        "img2mesh run '/in/cup.png' --preset high -o more",
        "img2mesh run '/in/it'\\''s.png' --mask '/in/m.png' --preset high -o more",
    ]
    assert seen["more"] == "none"  # all of them are shown
    assert "./a%20%26%20%3Cb%3E/report.html" in seen["links"] and len(seen["links"]) == 6
    assert seen["pictures"] == ["data:image"] * 5
