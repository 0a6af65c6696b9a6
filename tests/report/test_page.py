"""``report.html``: self-contained, silent on the network, and safe from hostile names."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2mesh.errors import Img2MeshError
from img2mesh.io.gltf import glb_bytes
from img2mesh.io.meshes import png_bytes
from img2mesh.report import words, write_html
from img2mesh.report.page import html_page, inline_script
from tests.shapes import box_asset

HOSTILE = "</title></script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
PICTURE = png_bytes(np.full((8, 8, 3), 120, np.uint8))
REPORT: dict[str, Any] = {
    "generator": "geometric",
    "learned_weights": False,
    "licences": [],
    "faces": 12345,
    "vertices": 6171,
    "watertight": True,
    "manifold": False,
    "components": 1,
    "euler_number": 2,
    "uv_overlap": 0.0,
    "texture_resolution": 1024,
    "seen_surface_fraction": {"photo": 0.4, "views": 0.5},
    "silhouette_iou": {"views": [0.9, 1.0], "input": 0.987},
    "psnr_views": {"views": [25.0, None], "input": None},
    "warnings": ["the object touches the border"],
    "seconds": {"cutout": 1.25, "views": 0},
    "cached": {"cutout": True},
}


class Page(HTMLParser):
    """Elements with their attributes, and the text outside script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open[-1:]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(title: str = "chair", report: dict[str, Any] | None = None, **pictures: bytes) -> str:
    return html_page(
        glb=glb_bytes(box_asset()),
        report=REPORT if report is None else report,
        title=title,
        pictures=pictures or {"preview": PICTURE},
    )


def test_nothing_is_asked_of_the_network() -> None:
    found = Page(page())
    for tag, attributes in found.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        for name in ("src", "href", "poster", "srcset", "data", "action", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, name, str(value)[:80])
    css = (files("img2mesh.report") / "assets" / "report.css").read_text(encoding="utf-8")
    assert "url(" not in css and "@import" not in css
    (policy,) = [
        str(a["content"])
        for tag, a in found.elements
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    allowed = {"'none'", "'unsafe-inline'", "'wasm-unsafe-eval'", "data:", "blob:"}
    assert {word for rule in rules.values() for word in rule.split()} <= allowed
    # The policy must stand before anything it is to bind.
    order = [tag for tag, _ in found.elements]
    assert order.index("meta") < min(order.index("style"), order.index("script"))


def test_the_mesh_and_pictures_are_inside() -> None:
    text = page(preview=PICTURE, cutout=PICTURE)
    found = Page(text)
    (viewer,) = [a for tag, a in found.elements if tag == "model-viewer"]
    assert str(viewer["src"]).startswith("data:model/gltf-binary;base64,Z2xURg")  # "glTF"
    pictures = [a for tag, a in found.elements if tag == "img"]
    assert [a["alt"] for a in pictures] == ["preview", "cutout"]
    assert all(str(a["src"]).startswith("data:image/png;base64,") for a in pictures)


def test_the_page_says_what_was_measured_and_who_drew() -> None:
    text = Page(page()).text
    for said in ("12,345", "no learned weights", "geometric", "0.987", "touches the border"):
        assert said in text
    learned = {**REPORT, "generator": "zero123plus-v1.2", "learned_weights": True}
    learned["licences"] = ["Apache-2.0 <code>"]
    text = Page(page(report=learned)).text
    assert "no learned weights" not in text
    assert "Apache-2.0 <code>" in text
    assert "given by the user" in Page(page(report={**REPORT, "generator": "given"})).text


def test_no_number_praises_a_cutout() -> None:
    text = Page(page()).text
    assert f"The mesh's outline agrees with the cutout: 98.7 %. {words.CAUTION}" in text
    assert "40 % from the photo, 50 % guessed, 10 % filled." in text
    # What a layman would take for praise is folded away, below the same caution.
    folded = text.partition("Measured against the cutout")[2]
    assert folded.startswith(f" {words.CAUTION}") and "0.987" in folded
    green = {**REPORT, "verdict": {"light": "green", "reasons": []}}
    assert f"agree with the cutout. {words.CAUTION}" in Page(page(report=green)).text
    assert "Silhouette agreement" not in text and "Euler" not in Page(page(report={})).text
    assert words.CAUTION not in Page(page(report={"faces": 3})).text


def test_given_views_are_no_guess() -> None:
    seen = {"seen_surface_fraction": {"photo": 0.4, "views": 0.5}}
    assert "guessed" not in words.surface({**seen, "generator": "given"})
    assert words.sentences({}) == [] and words.shares({}) is None


def test_settings_and_what_is_a_guess_come_with_the_page() -> None:
    settings = {"views": {"generator": "geometric", "seed": 42}}
    text = html_page(
        glb=b"glTF", report=REPORT, title="a", pictures={"cutout": PICTURE},
        settings=settings, known=PICTURE,
    )  # fmt: skip
    found = Page(text)
    assert "Settings" in found.text and '"seed": 42' in found.text
    named = {a.get("data-picture"): a for tag, a in found.elements if tag == "img"}
    assert set(named) == {"cutout", "known"} and "hidden" in named["known"]


def test_hostile_strings_stay_text() -> None:
    report = {
        **REPORT,
        "generator": HOSTILE,
        "warnings": [HOSTILE],
        "seconds": {HOSTILE: 1.0},
        "texture_resolution": HOSTILE,
    }
    pictures = {HOSTILE: PICTURE}
    report["input_camera"] = {HOSTILE: HOSTILE}
    settings = {HOSTILE: HOSTILE}
    text = html_page(
        glb=b"glTF", report=report, title=HOSTILE, pictures=pictures, settings=settings
    )
    found = Page(text)
    assert [tag for tag, _ in found.elements].count("script") == 3
    assert all(a.get("onerror") is None for _, a in found.elements)
    assert found.text.count("owned") >= 4
    assert found.text.startswith("</title></script><script>")


def test_an_empty_report_is_still_a_page() -> None:
    found = Page(html_page(glb=b"", report={}, title="", pictures={}))
    assert [tag for tag, _ in found.elements].count("model-viewer") == 1


def test_scripts_cannot_end_early() -> None:
    script = inline_script(
        "a='</script>';b=/<\\/SCRIPT>/;c='</Script';d='<!-- <script>';\n"
        "//# sourceMappingURL=x.map\n"
    )
    assert "</script" not in script.lower()
    assert "<!--" not in script and "<script" not in script.lower()
    assert "sourceMappingURL" not in script


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_escaped_scripts_mean_the_same() -> None:
    source = "console.log('</script><!--<script>' + `</SCRIPT>` + '<!--x'.match(/<!--/).index)"
    runs = [
        subprocess.run(["node", "-e", s], capture_output=True, text=True, check=True).stdout
        for s in (source, inline_script(source))
    ]
    assert runs[0] == runs[1] == "</script><!--<script></SCRIPT>0\n"


def test_the_bundled_viewer_is_the_published_one() -> None:
    assets = files("img2mesh.report") / "assets"
    digest = hashlib.sha256((assets / "model-viewer.min.js").read_bytes()).hexdigest()
    about = (assets / "README.md").read_text(encoding="utf-8")
    assert digest in about
    assert "Apache" in (assets / "model-viewer.LICENSE.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"npm package `@google/model-viewer`\n(\d+\.\d+\.\d+)", about)
    assert f"{version}, Google LLC" in page()
    assert "sourceMappingURL" not in page()  # browsers' tools would look for the map file


def test_the_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stühlchen 椅子.html"
    write_html(path, glb=b"glTF", report=REPORT, title="a \ud83d b", pictures={})
    before = path.read_bytes()
    assert before.startswith(b"<!doctype html>")

    def fails(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(Img2MeshError, match="No space left"):
        write_html(path, glb=b"", report={}, title="new", pictures={})
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


CHROMIUM = shutil.which("chromium")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_loads_the_mesh_from_disk(tmp_path: Path) -> None:
    """The page's own load event is written into its title, which --dump-dom prints."""
    path = tmp_path / "report.html"
    write_html(
        path, glb=glb_bytes(box_asset()), report=REPORT, title=HOSTILE, pictures={"p": PICTURE}
    )
    probe = (
        "<script>addEventListener('load',()=>{const v=document.querySelector('model-viewer');"
        "v.addEventListener('load',()=>{document.title='mesh loaded'});"
        "v.addEventListener('error',()=>{document.title='mesh failed'})})</script></body>"
    )
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    # On a busy machine the browser's virtual time runs out before the mesh is there: give it more.
    for budget_ms in (20_000, 60_000, 180_000):
        answer = subprocess.run(
            [
                str(CHROMIUM),
                "--headless",
                "--no-sandbox",
                "--enable-unsafe-swiftshader",
                f"--virtual-time-budget={budget_ms}",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--dump-dom",
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        if "<title>mesh loaded</title>" in answer.stdout:
            break
    assert "<title>mesh loaded</title>" in answer.stdout
