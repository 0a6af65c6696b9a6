"""The page in a real browser: whoever opens it, or opens it again, sees what has become of what."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.web.conftest import Server

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
    server.ended(server.upload("ode.png", b"bad"))
    slow = server.upload("slow.png", b"wait")
    server.upload("last.png", b"pixels")
    server.until(slow, lambda card: card.get("stage") == "radiance")
    for _ in range(2):
        page = opened(server)
        text = re.sub(r"<[^>]+>", " ", page)
        assert "geometric: weight-free, nothing learned" in text
        assert "'ode.png' is a poem: expected a picture" in text
        assert "it is flat" in text and "one photo comes first" in text
        assert "radiance: 25 %" in text and text.count("Cancel") == 2
        assert f'href="jobs/{cup}/files/mesh.glb"' in page
        places = [text.index(name) for name in ("last.png", "slow.png", "'ode.png'", "it is flat")]
        assert places == sorted(places)  # the newest on top
