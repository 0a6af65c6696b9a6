"""The add-on in the real Blender that ``make setup-clients`` installs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.browser.test_page import CLIENTS
from tests.conftest import ROOT
from tests.web.conftest import started

ADDON = ROOT / "docs" / "examples" / "serve" / "blender_addon.py"


def test_blender_imports_what_the_server_made(tmp_path: Path) -> None:
    photo, poem = tmp_path / "cup.png", tmp_path / "ode.png"
    photo.write_bytes(b"pixels")
    poem.write_bytes(b"bad")
    with started(tmp_path / "outputs", function="tests.browser.desk:make") as one:
        address = f"http://127.0.0.1:{one.server.port}"
        told = [
            json.loads(
                subprocess.run(
                    [CLIENTS / "bin" / "python", Path(__file__).with_name("blender_addon.py"),
                     ADDON, path, address],
                    capture_output=True, text=True, check=True, timeout=600,
                ).stdout.splitlines()[-1]
            )
            for path in (photo, poem)
        ]  # fmt: skip
    assert told[0]["said"] == ["FINISHED"] and told[0]["faces"] == [12]
    assert "is a poem" in told[1]["said"][0] and told[1]["faces"] == []
