"""Changed code under an unchanged stage version serves stale results: this test notices.

For each stage it keeps (version, digest of the code behind it). When it fails, either bump the
stage's version in ``pipeline.py`` (results changed) or accept the change as preserving every byte;
both ways, write the new record with ``python tests/test_stage_versions.py --accept``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "img2mesh"
RECORD = HERE / "stage_versions.json"

SHARED = ["frozen.py", "artifacts.py", "cameras.py", "formats.py", "raycast.py"]
BEHIND = {
    "cutout": ["segmentation", "pixels.py", "images.py"],
    "views": ["multiview", "backdrop.py", "matting.py"],
    "depths": ["depth", "hull.py"],
    "refined": ["multiview", "backdrop.py", "matting.py"],
    "posed": ["depth", "hull.py"],
    "radiance": ["field", "hull.py"],
    "surface": ["meshing"],
    "asset": ["texture", "export", "glbpack.py", "glb.py", "meshfiles.py"],
    "engine": ["texture", "export", "engineparts.py", "enginefiles.py"],
    "quality": ["report", "engineparts.py"],
}


def digest(places: list[str]) -> str:
    """Digest of the code without comments, docstrings and layout."""
    files = []
    for place in places:
        path = PACKAGE / place
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if (
                isinstance(body, list)
                and body
                and isinstance(body[0], ast.Expr)
                and isinstance(body[0].value, ast.Constant)
                and isinstance(body[0].value.value, str)
            ):
                body[0].value.value = ""
        total.update(f"{file.relative_to(PACKAGE)}\n{ast.dump(tree)}\n".encode())
    return total.hexdigest()[:16]


def current() -> dict[str, dict[str, object]]:
    sys.path.insert(0, str(HERE.parent))
    from img2mesh.pipeline import PIPELINE

    return {
        name: {"version": stage.version, "code": digest(SHARED + BEHIND[name])}
        for name, stage in PIPELINE.stages.items()
    }


@pytest.mark.parametrize("stage", list(BEHIND))
def test_changed_code_has_a_changed_version(stage: str) -> None:
    then, now = json.loads(RECORD.read_text(encoding="utf-8"))[stage], current()[stage]
    if then == now:
        return
    if then["version"] == now["version"]:
        pytest.fail(
            f"the code behind {stage!r} changed, its version is still {now['version']}: bump it in "
            "pipeline.py if results change, then run python tests/test_stage_versions.py --accept"
        )
    pytest.fail(f"{stage!r} has a new version: run python tests/test_stage_versions.py --accept")


def test_every_stage_is_watched() -> None:
    assert set(current()) == set(BEHIND)


if __name__ == "__main__" and "--accept" in sys.argv:
    RECORD.write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
