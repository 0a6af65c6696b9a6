"""Draw a file in headless Chromium. Runs in the clients' own environment.

``python browser.py JOBS.json``: names the Chromium, and for every job what to open, with what and
from which cameras. One PNG a shot goes into the job's folder, everything else is one line of JSON,
the last on stdout. Nothing but a job's own files can be fetched: every other request is refused and
reported.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

HERE = Path(__file__).parent
ORIGIN = "http://img2mesh.test"  # reserved by RFC 2606: leads nowhere
#: WebGL 2 in software, so that no graphics card or display is needed.
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
WAIT = 120_000  # milliseconds; software rendering on a busy machine


def draw_with_three(page: Page, job: dict[str, Any], refused: list[str]) -> dict[str, Any]:
    """The GLB in three.js, one screenshot of the canvas a shot, transparent where nothing is."""
    local = {
        f"{ORIGIN}/": HERE / "viewer.html",
        f"{ORIGIN}/model.glb": Path(job["file"]),
    }

    def serve(route: Route) -> None:
        url = route.request.url
        path = local.get(url)
        if url.startswith(f"{ORIGIN}/three/"):
            path = Path(job["three"]) / url.removeprefix(f"{ORIGIN}/three/")
        if url.startswith(("data:", "blob:")):
            route.continue_()
        elif path is None or not path.is_file():
            refused.append(url)
            route.abort()
        else:
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            route.fulfill(body=path.read_bytes(), content_type=kind)

    page.route("**/*", serve)
    page.goto(f"{ORIGIN}/", wait_until="load", timeout=WAIT)
    page.wait_for_function("window.ready", timeout=WAIT)
    about = page.evaluate("window.load()")
    canvas = page.locator("canvas")
    for number, shot in enumerate(job["shots"]):
        page.evaluate("shot => window.draw(shot)", {**shot, "size": job["size"]})
        canvas.screenshot(path=f"{job['out']}/{number}.png", omit_background=True, timeout=WAIT)
    return about


def draw_with_model_viewer(page: Page, job: dict[str, Any], refused: list[str]) -> dict[str, Any]:
    """The report page from disk; pictures are what its <model-viewer> hands out on request."""

    def watch(route: Route) -> None:
        url = route.request.url
        if url == Path(job["file"]).as_uri() or url.startswith(("data:", "blob:")):
            route.continue_()
        else:
            refused.append(url)
            route.abort()

    page.route("**/*", watch)
    page.goto(Path(job["file"]).as_uri(), wait_until="load", timeout=WAIT)
    # No polling by the page: its content security policy forbids what playwright would need.
    page.evaluate(
        """async () => {
            await customElements.whenDefined('model-viewer');
            const viewer = document.querySelector('model-viewer');
            if (!viewer.loaded) await new Promise(
                done => viewer.addEventListener('load', done, {once: true}));
        }"""
    )
    for number, shot in enumerate(job["shots"]):
        data = page.evaluate(
            """async ({orbit, target, fov, size}) => {
                const viewer = document.querySelector('model-viewer');
                Object.assign(viewer.style, {width: `${size}px`, height: `${size}px`});
                viewer.autoRotate = false;
                viewer.resetTurntableRotation(0);
                viewer.shadowIntensity = 0;
                viewer.minFieldOfView = '1deg';
                viewer.minCameraOrbit = 'auto 0deg auto';
                viewer.maxCameraOrbit = 'auto 180deg 100m';
                viewer.cameraTarget = target.map(x => `${x}m`).join(' ');
                viewer.cameraOrbit = `${orbit[0]}deg ${90 - orbit[1]}deg ${orbit[2]}m`;
                viewer.fieldOfView = `${fov}deg`;
                await viewer.updateComplete;
                viewer.jumpCameraToGoal();
                // The size is noticed in a later frame.
                for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame);
                return viewer.toDataURL('image/png');
            }""",
            {**shot, "size": job["size"]},
        )
        picture = base64.b64decode(data.split(",", 1)[1])
        Path(f"{job['out']}/{number}.png").write_bytes(picture)
    return {"images": page.evaluate("[...document.images].map(i => i.naturalWidth)")}


DRAWERS = {"three.js": draw_with_three, "model-viewer": draw_with_model_viewer}


def carry_out(browser: Browser, job: dict[str, Any]) -> dict[str, Any]:
    """One job in a page of its own; a failure is part of the answer."""
    messages: list[str] = []
    refused: list[str] = []
    page = browser.new_page(viewport={"width": 1024, "height": 1024})
    page.on("console", lambda m: messages.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda e: messages.append(f"error: {e}"))
    try:
        about = DRAWERS[job["with"]](page, job, refused)
    except Error as error:
        about = {"failed": str(error)}
    page.close()
    return {"out": job["out"], "messages": messages, "refused": refused, **about}


def main(order: dict[str, Any]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=order["chromium"], args=FLAGS)
        answers = [carry_out(browser, {**job, "three": order["three"]}) for job in order["jobs"]]
        version = browser.version
        browser.close()
    sys.stdout.write(json.dumps({"chromium": version, "answers": answers}) + "\n")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
