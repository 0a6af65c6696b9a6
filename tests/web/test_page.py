"""The page in a real browser: whoever opens it, or opens it again, sees what has become of what."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.web.conftest import Server, version_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)


def opened(server: Server) -> str:
    """The text of the page once its script has run."""
    assert CHROMIUM
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
         "--dump-dom", f"http://127.0.0.1:{server.port}/"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
def test_the_page_shows_every_photo_however_often_it_is_opened(server: Server) -> None:
    cup = server.upload("cup.png", b"pixels")
    server.ended(cup)
    server.ended(server.upload("ode.png", b"bad"))
    slow = server.upload("slow.png", b"wait")
    server.until(slow, lambda card: version_of(card).get("stage") == "radiance")
    odd = server.upload("odd.png", b"odd", "&ask=1")
    server.asked(odd)
    for _ in range(2):
        page = opened(server)
        text = re.sub(r"<[^>]+>", " ", page)
        assert "What a photo does not show is guessed (geometric)" in text
        assert "Is this the object?" in text and "Use the whole picture" in text
        assert f'src="api/v1/jobs/{odd}/photo"' in page and 'class="line"' in page
        assert re.search(r"slow.png\s+working \d+ %", text) and "Needs a look" in text
        strip = text[text.index("Needs a look") :]
        places = [strip.index(f" {name}.png ") for name in ("odd", "slow", "ode", "cup")]
        assert places == sorted(places)  # the newest on top
        assert re.search(r"<title>\d+ % slow.png</title>", page)


def test_the_first_paint_is_small_and_the_viewer_comes_later(server: Server) -> None:
    page = server.get("/").body.decode()
    names, size = {"page.js"}, len(page)
    names |= set(re.findall(r'assets/([\w.-]+)"', page))
    seen: set[str] = set()
    while names - seen:
        name = (names - seen).pop()
        seen.add(name)
        answer = server.get(f"/assets/{name}")
        assert answer.status == 200, name
        size += len(answer.body)
        names |= set(re.findall(r'^import .*"\./([\w.-]+)";$', answer.body.decode(), re.MULTILINE))
    assert "stage.js" in seen and not any("viewer" in name and name.endswith("js") for name in seen)
    assert size <= 100_000
    assert server.get("/assets/viewer.js").status == 200
    assert len(server.get("/assets/model-viewer.min.js").body) > 100_000
