"""A cache written by version 0.1.0 lies in golden/store_v1 and must hit for ever.

When this fails, users are about to compute everything again. If that is not meant, undo the
change of key, manifest or layout. If it is, raise ENGINE or SCHEMA in img2mesh/graph/manifest.py,
let this test say so, and freeze a new cache beside the old one, with ``freeze(...)`` below.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from img2mesh.graph import Store
from img2mesh.graph.manifest import Manifest
from tests.graph import toy

GOLDEN = Path(__file__).parent / "golden" / "store_v1"


def freeze(folder: str) -> None:
    """Write a new frozen cache; lock files are no part of it."""
    toy.run(Store(folder), device="cpu", versions={"img2mesh": "0.1.0"})
    for name in ("locks", "tmp"):
        shutil.rmtree(Path(folder) / "v1" / name)


def test_an_old_cache_still_hits(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "cache")
    store = Store(tmp_path / "cache")
    assert toy.run(store) == []
    outcome = toy.runner(store).run("signed", {"seed": toy.leaf(21)})
    assert outcome.cached
    assert outcome.value == toy.Text(("en", "42", "4.0", "1", "2", "None:42"))


def test_an_old_manifest_still_reads(tmp_path: Path) -> None:
    store = Store(GOLDEN)
    manifest = store.show("710019afe0ca20f7d70a2b681de9f180").manifest
    assert isinstance(manifest, Manifest)
    assert manifest.notes == ["spelled in en"]
    assert manifest.recipe["settings"] == {"language": "en", "loudness": 4.0, "ends": [1, 2]}
    assert manifest.versions == {"img2mesh": "0.1.0"}
    assert [item.stage for item in store.items() if item.stage not in toy.GRAPH.stages] == []


def test_a_new_cache_is_laid_out_as_the_old_one(tmp_path: Path) -> None:
    freeze(str(tmp_path))

    def names(root: Path) -> list[str]:
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    assert names(tmp_path) == names(GOLDEN)
    for name in names(GOLDEN):
        if not name.endswith("manifest.json"):  # which tells the time
            assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()
