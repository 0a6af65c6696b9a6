"""Every artifact comes back from its folder as it was stored, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2mesh.artifacts import (
    Cutout,
    DepthSet,
    Mesh,
    Photo,
    Provenance,
    Quality,
    RadianceField,
    View,
    ViewSet,
)
from img2mesh.artifacts.codecs import CODECS, read_provenance
from img2mesh.core.rigs import rig

RNG = np.random.default_rng(3)
EIGHT = 16  # pictures of this side keep the test quick


def pixels(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Random 8-bit values as float32: what survives a PNG exactly."""
    return RNG.integers(0, 256, shape).astype(np.float32) / np.float32(255)


def view_set() -> ViewSet:
    cameras = rig("zero123plus-v1.1").cameras(EIGHT)
    depth = RNG.random((6, EIGHT, EIGHT)).astype(np.float32)
    depth[0, :4] = np.nan
    normals = RNG.normal(size=(6, EIGHT, EIGHT, 3)).astype(np.float32)
    normals = (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)
    return ViewSet(
        pixels(6, EIGHT, EIGHT, 3),
        pixels(6, EIGHT, EIGHT),
        cameras,
        depth=depth,
        normals=normals.astype(np.float16).astype(np.float32),
        photo=View(pixels(24, 24, 3), pixels(24, 24), cameras[2].resized(24, 24)),
        provenance=Provenance("geometric", licences=("none",), notes=("a note",)),
    )


def cutout() -> Cutout:
    alpha = pixels(EIGHT, EIGHT)
    alpha[4:8, 4:8] = 1
    return Cutout(pixels(EIGHT, EIGHT, 3), alpha, np.diag([2.0, 2.0, 1.0]), 0.7, "border", ("x",))


def photo() -> Photo:
    rgb, alpha = (RNG.integers(0, 256, (9, 12, *c), np.uint8) for c in ((3,), ()))
    drawn = Provenance("sdxl", True, False, ("a licence",))
    return Photo(rgb, alpha, 255 - alpha, "teapot", ("a note",), 2.5, drawn)


ARTIFACTS = [
    photo(),
    Photo(photo().rgb),
    cutout(),
    view_set(),
    DepthSet(view_set().depth, view_set().cameras),  # type: ignore[arg-type]
    RadianceField(
        RNG.normal(size=(3, 4, 5)).astype(np.float32),
        np.array([0.1, 0.2, 1 / 3]),
        0.1,
        1e-3,
        ("n",),
    ),
    Mesh(RNG.random((4, 3)), np.array([[0, 1, 2], [0, 2, 3]]), ("n",)),
    Quality({"faces": 3, "psnr_views": {"input": 1 / 3}}, np.zeros((4, 6, 3), np.uint8)),
]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("value", ARTIFACTS, ids=lambda v: type(v).__name__)
def test_round_trip(value: Any, tmp_path: Path) -> None:
    codec = CODECS[type(value)]
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    codec.save(first, value)
    loaded = codec.load(first)
    assert same(value, loaded)
    codec.save(second, loaded)
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_every_stage_has_a_codec() -> None:
    from img2mesh.pipeline import PIPELINE

    for stage in PIPELINE.stages.values():
        assert stage.output in CODECS, stage.name


def test_provenance_alone_can_be_read(tmp_path: Path) -> None:
    CODECS[ViewSet].save(tmp_path, view_set())
    assert read_provenance(tmp_path) == view_set().provenance


def test_an_unposed_photo_stays_unposed(tmp_path: Path) -> None:
    from dataclasses import replace

    given = view_set()
    assert given.photo is not None
    unposed = replace(given, photo=replace(given.photo, camera=None), depth=None, normals=None)
    CODECS[ViewSet].save(tmp_path, unposed)
    loaded = CODECS[ViewSet].load(tmp_path)
    assert loaded.photo.camera is None and loaded.depth is None and loaded.normals is None
    assert len(loaded.posed) == 6
