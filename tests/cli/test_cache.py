"""``img2mesh cache``: what is there, whether it is intact, and making room."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Command, tiny_flags


def test_cache_commands(toy: Path, tmp_path: Path, command: Command) -> None:
    cache = tmp_path / "cache"
    flags = [*tiny_flags(cache=cache, out=tmp_path / "out"), "--until", "cutout"]
    assert command("run", str(toy), *flags).returncode == 0
    here = ["--cache-dir", str(cache)]
    entries = json.loads(command("cache", "list", *here, "--json").stdout)
    assert [entry["stage"] for entry in entries] == ["cutout"]
    shown = json.loads(command("cache", "show", entries[0]["key"][:8], *here).stdout)
    assert shown["recipe"]["stage"] == "cutout"
    assert command("cache", "verify", *here).returncode == 0

    picture = next(cache.glob("v1/cutout/*/*/cutout.png"))
    content = bytearray(picture.read_bytes())
    content[len(content) // 2] ^= 1
    picture.write_bytes(content)
    checked = command("cache", "verify", *here)
    assert checked.returncode == 1 and "quarantined cutout" in checked.stdout
    assert command("run", str(toy), *flags).returncode == 0

    trimmed = command("cache", "trim", "--keep", "0", *here)
    assert trimmed.returncode == 0
    assert json.loads(command("cache", "list", *here, "--json").stdout) == []
    wrong = command("cache", "trim", "--keep", "lots", *here)
    assert wrong.returncode == 2 and "500MB" in wrong.stderr
    missing = command("cache", "show", "ffff", *here)
    assert missing.returncode == 2
