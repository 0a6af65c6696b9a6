"""One scenario in headless Chromium, in the clients' own environment: it knows only the page.

``python driver.py SCENARIO ADDRESS FOLDER``: FOLDER holds photos to send and takes screenshots. A
line ``> WORD`` on stdout asks the test for something, and a line on stdin says that it is done. A
console message, a request to elsewhere or a broken expectation ends it with code 1.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"
WAIT = 180_000  # milliseconds; only a failing scenario waits so long
#: What Chromium says of itself in software rendering.
_HARMLESS = re.compile(r"GPU stall|rAF timed out|swiftshader", re.IGNORECASE)
SCENARIOS: dict[str, Callable[[Session], None]] = {}


class Session:
    """A browser at an address."""

    def __init__(self, browser: Browser, address: str, folder: Path) -> None:
        self.browser, self.address, self.folder = browser, address, folder
        self.said: list[str] = []
        self.expected: list[str] = []

    @contextmanager
    def page(self, **more: Any) -> Iterator[Page]:
        """The page in a context of its own; at the end it has nothing to complain about."""
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **more})
        context.add_init_script(path=AXE)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        page.on("console", lambda m: self.said.append(f"{m.type}: {m.text} {m.location['url']}"))
        page.on("pageerror", lambda e: self.said.append(f"error: {e}"))
        page.on("request", lambda r: self._watch(r.url))
        page.goto(self.address)
        try:
            yield page
        except BaseException:
            page.screenshot(path=str(self.folder / "failed.png"))
            raise
        finally:
            context.close()

    def _watch(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.said.append(f"asked elsewhere: {url}")

    def ask(self, word: str) -> str:
        """Let the test do something."""
        print(f"> {word}", flush=True)  # noqa: T201
        return sys.stdin.readline().strip()

    def complaints(self) -> list[str]:
        return [
            one
            for one in self.said
            if not _HARMLESS.search(one) and not any(e in one for e in self.expected)
        ]


def scenario(function: Callable[[Session], None]) -> Callable[[Session], None]:
    SCENARIOS[function.__name__] = function
    return function


def send(page: Page, *photos: Path) -> None:
    page.set_input_files("#choose", [str(photo) for photo in photos])


def axe(page: Page, session: Session, where: str, *, leaving_out: str = "") -> None:
    """No violation by axe-core, which runs in the page's own world."""
    found = page.evaluate(
        "async (out) => (await axe.run(out ? {exclude: [[out]]} : document)).violations",
        leaving_out,
    )
    told = [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found]
    assert not told, f"{where}: {json.dumps(told, indent=1)}"


@scenario
def whole(session: Session) -> None:
    """Upload, outline, box, brush, run, turn, other faces, only later stages, OBJ and ZIP."""
    with session.page() as page:
        assert "model-viewer" not in page.content()
        send(page, session.folder / "toy.jpg")
        expect(page.locator("#stage img").first).to_be_visible()
        ask = page.locator(".ask h3")
        expect(ask).to_have_text("Is this the object?")
        expect(page.locator(".pictured path.line").first).to_be_attached()
        page.keyboard.press("2")
        canvas = page.locator("canvas")
        box = canvas.bounding_box()
        assert box
        page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.05 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.98 * box["height"], steps=4)
        page.mouse.up()
        page.get_by_role("button", name="Take this box").click()
        expect(ask).to_have_text("Is this the object now?")
        page.keyboard.press("3")
        expect(canvas).to_be_focused()
        for adding, x in ((True, 0.5), (False, 0.02)):
            page.get_by_role("button", name="Add" if adding else "Take away").click()
            page.mouse.move(box["x"] + x * box["width"], box["y"] + 0.4 * box["height"])
            page.mouse.down()
            page.mouse.move(box["x"] + x * box["width"], box["y"] + 0.8 * box["height"], steps=5)
            page.mouse.up()
        page.get_by_role("button", name="Undo").click()
        page.screenshot(path=str(session.folder / "brush.png"))
        page.get_by_role("button", name="Take this").click()
        expect(page.locator("progress").first).to_be_visible()
        host = page.locator(".turnable[data-loaded]")
        expect(host).to_be_visible()
        # It begins as the photo: from the photo's camera, large, and within the window.
        frame = page.locator(".turnable .frame").bounding_box()
        assert frame and frame["height"] > 400 and frame["y"] + frame["height"] < 860
        camera = page.evaluate(
            "() => { const v = document.querySelector('model-viewer');"
            " const o = v.getCameraOrbit(); return [o.theta, o.phi, v.getFieldOfView()] }"
        )
        report = page.evaluate(
            "async () => (await fetch(document.querySelector('.turnable model-viewer').src"
            ".replace(/mesh.glb.*/, 'report.json'))).json()"
        )["input_camera"]
        wanted = (report["azimuth_deg"], 90 - report["elevation_deg"], report["fov_deg"])
        turned = (camera[0] * 57.29578, camera[1] * 57.29578, camera[2])
        assert all(abs(a - b) < 0.2 for a, b in zip(turned, wanted, strict=True)), (turned, wanted)
        for face in ("shape", "wire", "known", "photo", "colour"):
            page.click(f"[data-face={face}]")
            expect(page.locator(f"[data-face={face}]")).to_have_attribute("aria-pressed", "true")
            expect(page.locator(".turnable > [role=status]")).to_be_empty()
        page.locator(".wipe input").fill("50")
        expect(page.locator(".turnable .over")).to_be_visible()
        page.screenshot(path=str(session.folder / "done.png"))
        axe(page, session, "done")
        # Half the triangles: only what comes after the fit runs again.
        page.locator("#faces").fill("20")
        expect(page.locator(".price")).to_contain_text("surface, asset, game, quality")
        page.get_by_role("button", name="Make this version").click()
        expect(page.get_by_role("button", name="v2", exact=True)).to_be_visible()
        expect(page.locator("#panel")).to_contain_text("6 stages from the cache")
        expect(page.locator("#panel")).to_contain_text("800 triangles")
        page.get_by_role("button", name="Compare").click()
        expect(page.locator(".turnable[data-loaded]")).to_have_count(2)
        for name, end in (("OBJ", "mesh_obj.zip"), ("All as zip", "all.zip")):
            with page.expect_download() as coming:
                page.locator("#panel").get_by_text(name, exact=True).click()
            path = coming.value.path()
            assert coming.value.suggested_filename.endswith(end)
            assert path and Path(path).read_bytes()[:2] == b"PK"
        # Two viewers bring the same landmark twice, in a part of theirs that is not ours.
        axe(page, session, "compared", leaving_out="model-viewer")
        page.get_by_role("button", name="Compare").click()
        expect(page.locator(".turnable[data-loaded]")).to_have_count(1)
        page.emulate_media(color_scheme="dark")
        axe(page, session, "done, dark")


@scenario
def bundled(session: Session) -> None:
    """The two bundled photos whose cutout is hard: right with at most one answer."""
    with session.page() as page:
        for name in ("cat.jpg", "coffee.jpg"):
            send(page, session.folder / name)
            entry = page.locator(".entry").first
            expect(entry.locator(".name")).to_have_text(name)
            busy = re.compile("asks you|waiting|working|done")
            expect(entry.locator(".state")).to_have_text(busy)
            if "asks" in entry.locator(".state").inner_text():
                session.ask(f"judge {name}")
                page.keyboard.press("1")
            else:
                session.ask(f"judge {name}")
            expect(entry.locator(".state")).to_have_text(re.compile("done"))


@scenario
def restarted(session: Session) -> None:
    """The server is killed under an open page, and comes back."""
    session.expected = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"]
    with session.page() as page:
        send(page, session.folder / "wait.png")
        expect(page.locator(".tile .state")).to_contain_text("working")
        assert re.match(r"\d+ % wait.png", page.title())
        session.ask("kill")
        expect(page.locator("#gone")).to_be_visible()
        cancel = page.get_by_role("button", name="Cancel")
        cancel.click()
        expect(page.locator(".toast").first).to_contain_text("does it still run?")
        expect(cancel).to_be_enabled()
        send(page, session.folder / "cup.png")
        expect(page.locator(".toast").nth(1)).to_contain_text("cup.png could not be sent")
        session.ask("start")
        expect(page.locator("#gone")).to_be_hidden()
        expect(page.locator(".toast").last).to_contain_text("The server was restarted")
        expect(page.locator(".entry")).to_have_count(0)
        expect(page.locator(".drop")).to_be_visible()


@scenario
def slow(session: Session) -> None:
    """A slow upload is seen from its first moment, and can be cancelled."""
    session.expected = ["ERR_ABORTED", "ERR_FAILED"]
    with session.page() as page:
        expect(page.locator(".drop")).to_be_visible()
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        network.send("Network.emulateNetworkConditions", {
            "offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 40_000,
        })  # fmt: skip
        send(page, session.folder / "large.png", session.folder / "cup.png")
        expect(page.locator(".entry")).to_have_count(2)
        page.get_by_role("button", name=re.compile("^large.png")).click()
        expect(page.locator("#stage img")).to_be_visible()
        expect(page.locator(".left")).to_have_text(re.compile(r"Sending: [1-9]\d? %"))
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".entry")).to_have_count(1)
        expect(page.locator(".entry .state")).to_have_text(re.compile("done"))


@scenario
def hands(session: Session) -> None:
    """Keys alone, from an example to a corrected cutout; drops and pastes that hold no photo."""
    session.expected = ["status of 4"]
    with session.page() as page:
        expect(page.locator(".drop")).to_be_visible()
        axe(page, session, "empty")
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        axe(page, session, "keys")
        page.keyboard.press("Escape")
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.className") == "example":
                break
        page.keyboard.press("Enter")
        expect(page.locator(".entry")).to_have_count(1)
        send(page, session.folder / "odd.png")
        expect(page.locator(".ask")).to_be_visible()
        expect(page.locator("#live")).to_have_text(re.compile("object"))
        axe(page, session, "asking")
        page.keyboard.press("2")
        expect(page.locator("canvas")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.type("20")
        assert page.locator("input[type=number]").first.input_value().startswith("20")
        axe(page, session, "box")
        page.keyboard.press("Escape")
        expect(page.locator(".ask")).to_be_visible()
        page.keyboard.press("3")
        expect(page.locator("canvas")).to_be_focused()
        for key in ("ArrowLeft", "ArrowUp", "Space"):
            page.keyboard.press(key)
        expect(page.get_by_role("button", name="Undo")).to_be_enabled()
        axe(page, session, "brush")
        while page.evaluate("document.activeElement.textContent") != "Take this":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".entry .state").first).to_have_text(re.compile("done"))
        page.locator(".tile").first.focus()
        page.keyboard.press("ArrowDown")
        expect(page.locator(".tile").nth(1)).to_have_attribute("aria-current", "true")
        for kind, event in (("text/plain", "drop"), ("text/uri-list", "drop")):
            page.evaluate(
                "([kind, event]) => { const held = new DataTransfer(); held.setData(kind, 'a');"
                "document.dispatchEvent(new DragEvent(event, {dataTransfer: held})) }",
                [kind, event],
            )
        expect(page.locator(".toast.bad").first).to_contain_text("holds no picture file")
        page.evaluate(
            "() => { const held = new DataTransfer(); held.items.add(new File(['pixels'], 'image',"
            " {type: 'image/png'})); document.dispatchEvent(new ClipboardEvent('paste',"
            " {clipboardData: held, bubbles: true})) }"
        )
        expect(page.locator(".entry").first).to_contain_text("pasted.png")
        send(page, session.folder / "poem.txt")
        expect(page.locator(".toast.bad").last).to_contain_text("'poem.txt' is not a photo")
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        axe(page, session, "dark")


@scenario
def phone(session: Session) -> None:
    """A small screen and a finger: nothing is too wide or too small, the brush paints."""
    small = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with session.page(**small) as page:
        expect(page.get_by_text("Take a photo")).to_be_visible()
        send(page, session.folder / "odd.png")
        expect(page.locator(".ask")).to_be_visible()
        sizes = page.evaluate(
            "() => [...document.querySelectorAll('button, .button, select')]"
            ".filter((e) => e.offsetParent).map((e) => [e.textContent, e.offsetHeight])"
        )
        assert all(height >= 40 for _, height in sizes), sizes
        page.get_by_role("button", name="Brush").tap()
        page.locator("canvas").tap(position={"x": 60, "y": 60})
        page.get_by_role("button", name="Take this").tap()
        expect(page.locator(".entry .state")).to_have_text(re.compile("done"))
        expect(page.locator("#panel")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        axe(page, session, "phone")


def main() -> int:
    name, address, folder = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=sys.stdin.readline().strip(), args=FLAGS
        )
        session = Session(browser, address, Path(folder))
        SCENARIOS[name](session)
        browser.close()
    for one in session.complaints():
        print(f"complaint: {one}", flush=True)  # noqa: T201
    return 1 if session.complaints() else 0


if __name__ == "__main__":
    sys.exit(main())
