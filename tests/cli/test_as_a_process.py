"""Every command once as users start it: in a process of its own, by ``python -m img2mesh``.

``run``, ``batch`` and ``serve`` have their own tests of that kind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("reconstruct nowhere.png", 2, "nowhere.png"),
        ("plan @toy", 0, "radiance"),
        ("stages", 0, "surface.target_faces = "),
        ("models list", 0, "zero123plus-v1.2"),
        ("cache list", 0, "0 entries"),
        ("eval mesh nowhere.glb nowhere.glb", 2, "nowhere.glb"),
        ("doctor --json", 0, '"name": "torch"'),
    ],
    ids=lambda given: given.split()[0] if isinstance(given, str) else "",
)
def test_it_answers(line: str, code: int, said: str, toy: Path, img2mesh: Command) -> None:
    done = img2mesh(*line.replace("@toy", str(toy)).split())
    assert done.returncode == code and "Traceback" not in done.stderr
    assert said in (done.stderr if code else done.stdout)
