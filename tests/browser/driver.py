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
#: A browser that cannot draw in three dimensions.
BLIND = ["--no-sandbox", "--disable-3d-apis"]
AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"
WAIT = 180_000  # milliseconds; only a failing scenario waits so long
#: What Chromium says of itself in software rendering.
_HARMLESS = re.compile(r"GPU stall|rAF timed out|swiftshader", re.IGNORECASE)
#: From which side the mesh is seen, in radians.
SIDE = (
    "(() => { const v = document.querySelector('model-viewer');"
    " return v.getCameraOrbit().theta + v.turntableRotation })()"
)
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
        page.on("dialog", lambda d: (self.said.append(f"dialog: {d.message}"), d.dismiss()))
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
        if not url.startswith((self.address, self.folder.as_uri(), "data:", "blob:")):
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


def until(page: Page, script: str) -> None:
    """Wait until a script says yes; Playwright's own waiting would need the page to allow eval."""
    for _ in range(WAIT // 50):
        if page.evaluate(script):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never so: {script}")


@scenario
def whole(session: Session) -> None:
    """Upload, outline, box, brush, run, turn, other faces, only later stages, OBJ and ZIP."""
    session.expected = ["status of 415"]
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
        # What is told is told where one looks, and what was looked at is there again.
        page.mouse.wheel(0, 400)
        until(page, "scrollY > 100")
        send(page, session.folder / "poem.txt")
        expect(page.locator(".toast.bad")).to_be_in_viewport()
        page.locator(".toast button").click()
        expect(host).to_be_visible()
        page.get_by_role("button", name="As the photo").click()
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
        # What was drawn of it so far, beside the photo.
        expect(page.locator(".duo .sofar img")).to_have_attribute("alt", re.compile("as they were"))
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
        send(page, session.folder / "wait.png")
        expect(page.locator(".tile .state")).to_contain_text("working")
        page.keyboard.press("Escape")
        expect(page.locator(".tile .state")).to_have_text("cancelled")


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
def keys(session: Session) -> None:
    """Keys alone, from the file to a second version; nothing moves that nobody moved."""
    with session.page(reduced_motion="reduce") as page:
        expect(page.locator(".drop")).to_be_visible()

        def reach(accepts: str) -> None:
            """Tab until the focus is on what fits a test in the page's own words."""
            for _ in range(80):
                if page.evaluate(
                    f"(() => {{ const e = document.activeElement; return {accepts} }})()"
                ):
                    return
                page.keyboard.press("Tab")
            raise AssertionError(f"no key leads to {accepts}")

        def named(text: str) -> str:
            return f"(e.textContent || '').startsWith({text!r}) && e.tagName === 'BUTTON'"

        reach("e.id === 'choose'")
        with page.expect_file_chooser() as coming:
            page.keyboard.press("Space")
        coming.value.set_files(session.folder / "odd.png")
        ask = page.locator(".ask h3")
        expect(ask).to_have_text("Is this the object?")
        expect(page.locator("#live")).to_have_text(re.compile("object"))
        page.keyboard.press("2")
        expect(page.locator("canvas")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.type("20")
        reach(named("Take this box"))
        page.keyboard.press("Enter")
        expect(ask).to_have_text("Is this the object now?")
        page.keyboard.press("3")
        expect(page.locator("canvas")).to_be_focused()
        for key in ("ArrowLeft", "ArrowUp", "Space"):
            page.keyboard.press(key)
        expect(page.get_by_role("button", name="Undo")).to_be_enabled()
        reach(named("Take this"))
        page.keyboard.press("Enter")
        expect(page.locator(".turnable[data-loaded]")).to_be_visible()
        before = page.evaluate(SIDE)
        assert not page.locator("model-viewer").evaluate("v => v.autoRotate")
        assert page.evaluate("document.getAnimations().length") == 0
        reach("e.tagName === 'MODEL-VIEWER'")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        until(page, f"{SIDE} !== {before}")
        reach(named("Shape"))
        page.keyboard.press("Enter")
        expect(page.locator("[data-face=shape]")).to_have_attribute("aria-pressed", "true")
        reach("e.id === 'faces'")
        page.keyboard.press("ArrowLeft")
        expect(page.locator(".price")).to_contain_text("surface")
        reach(named("Make this version"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="v2", exact=True)).to_be_visible()
        reach(named("STL"))
        with page.expect_download() as fetched:
            page.keyboard.press("Enter")
        assert fetched.value.suggested_filename == "odd_mesh.stl"


@scenario
def hands(session: Session) -> None:
    """Every face of the page looked at by axe; drops and pastes that hold no photo."""
    session.expected = ["status of 4"]
    with session.page() as page:
        expect(page.locator(".drop")).to_be_visible()
        axe(page, session, "empty")
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        axe(page, session, "keys")
        page.keyboard.press("Escape")
        page.locator(".example").first.click()
        expect(page.locator(".entry")).to_have_count(1)
        send(page, session.folder / "odd.png")
        expect(page.locator(".ask")).to_be_visible()
        axe(page, session, "asking")
        page.keyboard.press("2")
        expect(page.locator("canvas")).to_be_focused()
        axe(page, session, "box")
        page.keyboard.press("Escape")
        expect(page.locator(".ask")).to_be_visible()
        page.keyboard.press("3")
        expect(page.locator("canvas")).to_be_focused()
        axe(page, session, "brush")
        page.get_by_role("button", name="Take this").click()
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
        page.emulate_media(color_scheme="dark")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(map(int, re.findall(r"\d+", ground))) < 60, ground
        axe(page, session, "dark")


@scenario
def group(session: Session) -> None:
    """A folder that is dropped: its photos together, with a bar, filters and one ZIP."""
    session.expected = ["status of 4"]
    with session.page() as page:
        expect(page.locator(".drop")).to_be_visible()
        drops = page.context.new_cdp_session(page)
        held = {"items": [], "files": [str(session.folder / "trip")], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            drops.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 300, "data": held})
        expect(page.locator(".group b")).to_have_text("trip")
        expect(page.locator(".group .soft")).to_have_text("3 of 3, 1 failed")
        expect(page.locator(".entry")).to_have_count(3)
        choice = page.locator("#strip select")
        said = [text.strip() for text in choice.locator("option").all_inner_texts()]
        assert said[0] == "All 3" and said[2:] == ["Done 2", "Failed 1"], said
        choice.select_option("failed")
        expect(page.locator(".entry")).to_have_count(1)
        expect(page.locator(".entry .name")).to_have_text("ode.png")
        choice.select_option("done")
        expect(page.locator(".entry")).to_have_count(2)
        with page.expect_download() as coming:
            page.get_by_text("zip of all").click()
        assert Path(coming.value.path()).read_bytes()[:2] == b"PK"
        axe(page, session, "group")


@scenario
def elsewhere(session: Session) -> None:
    """Names that are markup, a report that asks for more, and a page of another origin."""
    hostile = ["<img src=x onerror=alert(1)>.png", "\"' onmouseover='alert(1).png"]
    session.expected = ["status of 403"]
    with session.page() as page:
        for name in hostile:
            page.set_input_files(
                "#choose", {"name": name, "mimeType": "image/png", "buffer": b"pixels"}
            )
            expect(page.locator(".entry .name").first).to_have_text(re.compile("onerror|mouseover"))
        expect(page.locator(".entry .state", has_text="done")).to_have_count(2)
        assert page.locator("[onerror], [onmouseover]").count() == 0
        report = page.get_by_role("link", name="Report").get_attribute("href")
    stranger = session.browser.new_page()
    stranger.goto(f"{session.address}{report}")
    assert stranger.evaluate("origin") == "null"
    tried = stranger.evaluate("a => fetch(a).then(() => 'read', () => 'no')", session.address)
    assert tried == "no"
    stranger.goto(session.ask("stranger"))
    found = stranger.evaluate(
        """async (address) => {
          const api = `${address}api/v1/`, told = {};
          const says = (promise) => promise.then(() => "read", () => "no");
          told.read = await says(fetch(`${api}jobs`));
          const post = (name, more) =>
            fetch(`${api}jobs?name=${name}`, {method: "POST", body: "x", ...more});
          told.posted = await says(post("a.png"));
          await says(post("b.png", {mode: "no-cors"}));
          navigator.sendBeacon(`${api}jobs?name=c.png`, "x");
          const frame = document.createElement("iframe");
          frame.name = "f";
          const form = document.createElement("form");
          Object.assign(form, {method: "post", action: `${api}jobs?name=d.png`, target: "f"});
          document.body.append(frame, form);
          form.submit();
          const loads = (tag, src) => new Promise((resolve) => {
            const made = document.createElement(tag);
            made.onload = () => resolve("loaded");
            made.onerror = () => resolve("no");
            made.src = src;
            document.body.append(made);
          });
          told.script = await loads("script", `${address}assets/page.js`);
          told.picture = await loads("img", `${api}examples/robot.png`);
          const page = document.createElement("iframe");
          page.src = address;
          await new Promise((resolve) => { page.onload = resolve; document.body.append(page); });
          told.framed = page.contentWindow.length + frame.contentWindow.length;
          return told;
        }""",
        session.address,
    )
    assert found == {
        "read": "no", "posted": "no", "script": "no", "picture": "no", "framed": 0,
    }, found  # fmt: skip
    session.ask("count")


@scenario
def blind(session: Session) -> None:
    """Without WebGL there is a picture and a sentence, on the page and in the report."""
    with session.page() as page:
        send(page, session.folder / "cup.png")
        expect(page.locator(".turnable .still")).to_be_visible()
        expect(page.locator(".turnable .hint")).to_contain_text("no WebGL")
        page.goto((session.folder / "report.html").as_uri())
        expect(page.locator(".turnable .still")).to_be_visible()
        expect(page.locator(".turnable .hint")).to_contain_text("no WebGL")


def wheel(page: Page) -> None:
    """The page scrolls over a mesh until somebody has clicked it; then it zooms, without leaps."""
    viewer = page.locator("model-viewer")
    seen = "v => [v.getFieldOfView(), v.getCameraOrbit().radius]"
    viewer.hover()
    angle, away = viewer.evaluate(seen)
    page.mouse.wheel(0, 200)
    until(page, "scrollY > 150")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(600)
    assert viewer.evaluate(seen) == [angle, away]
    viewer.click()
    page.mouse.wheel(0, -100)
    until(page, f"document.querySelector('model-viewer').getFieldOfView() < {angle}")
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(600)
    assert viewer.evaluate(seen)[1] < 1.5 * away, "it leaps away"
    assert page.evaluate("scrollY") == 0


@scenario
def files(session: Session) -> None:
    """The report and a batch's index from disk: axe finds nothing, and the mesh can be turned."""
    with session.page() as page:
        for name in ("report.html", "index.html"):
            page.goto((session.folder / name).as_uri())
            if name == "report.html":
                expect(page.locator(".turnable[data-loaded]")).to_be_visible()
                for face in ("photo", "shape", "wire", "known", "colour"):
                    page.click(f"[data-face={face}]")
                    expect(page.locator(".turnable > [role=status]")).to_be_empty()
                assert not page.locator("model-viewer").evaluate("v => v.autoRotate")
                wheel(page)
            else:
                page.locator(".choose input").first.check()
                expect(page.locator("#again textarea")).to_have_value(re.compile("img2mesh run"))
                expect(page.locator("#more")).to_be_hidden()
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                axe(page, session, f"{name}, {scheme}")
            page.set_viewport_size({"width": 390, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
            axe(page, session, f"{name}, phone")
            page.set_viewport_size({"width": 1280, "height": 860})


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
            executable_path=sys.stdin.readline().strip(), args=BLIND if name == "blind" else FLAGS
        )
        session = Session(browser, address, Path(folder))
        SCENARIOS[name](session)
        browser.close()
    for one in session.complaints():
        print(f"complaint: {one}", flush=True)  # noqa: T201
    return 1 if session.complaints() else 0


if __name__ == "__main__":
    sys.exit(main())
