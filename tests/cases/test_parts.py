"""Separate things stay separate: case 52 and more of the kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image, ImageDraw

from img2mesh import segmentation
from img2mesh.artifacts import Cutout, Mesh, Photo, RadianceField
from img2mesh.core.parts import Parts
from img2mesh.meshing import extract
from img2mesh.multiview.geometric.choose import make_body
from img2mesh.multiview.geometric.outline import trace
from tests.conftest import Command
from tests.shapes import field_of, sphere_sdf

DATA = Path(__file__).parent / "data"


def cut(photo: Photo) -> Cutout:
    return segmentation.cut_out(
        photo, segmenter="border", model=None, box=None, remove_background=True,
        foreground_ratio=0.85, max_size=256,
    )  # fmt: skip


def apart(*discs: tuple[int, int, int]) -> Cutout:
    """Discs (x, y, radius) on 128 transparent pixels."""
    picture = Image.new("RGBA", (128, 128))
    for x, y, r in discs:
        box = (x - r, y - r, x + r, y + r)
        ImageDraw.Draw(picture).ellipse(box, fill=(200, 80, 30, 255))
    return cut(Photo.from_image(picture))


def test_three_things_in_a_row_stay_three() -> None:
    cutout = cut(Photo.open(DATA / "52-three-apart" / "three.png"))
    kept = make_body(cutout, body="inflation", parts="keep")
    body = trimesh.Trimesh(kept.solid.vertices, kept.solid.faces, process=False)
    assert body.body_count == 3 and body.is_watertight
    assert any("3 separate parts" in note and "--parts join" in note for note in kept.notes)
    joined = trace(cutout, parts="join")
    assert joined.parts == 1 and joined.mask.sum() > trace(cutout, parts="keep").mask.sum()


@pytest.mark.parametrize(
    "discs",
    [
        [(40, 64, 20), (95, 64, 20)],
        [(40, 30, 24), (90, 100, 10), (100, 30, 12)],
        [(64, 40, 30), (64, 100, 12)],
    ],
)
def test_outlines_of_several_parts(discs: list[tuple[int, int, int]]) -> None:
    cutout = apart(*discs)
    assert trace(cutout, parts="keep").parts == len(discs)
    assert not trace(apart(discs[0]), parts="keep").notes
    largest = trace(cutout, parts="largest")
    assert largest.parts == 1 and any("only the largest" in note for note in largest.notes)
    assert largest.mask.sum() < trace(cutout, parts="keep").mask.sum()


def extracted(parts: Parts, seen_apart: int, *centres: float) -> Mesh:
    """Balls of .25 along x."""
    scene = lambda p: np.min([sphere_sdf(p, 0.25, (x, 0, 0)) for x in centres], axis=0)  # noqa: E731
    field: RadianceField = replace(field_of(scene, size=56), parts=seen_apart)
    return extract(
        field, target_faces=2000, smoothing_steps=1, resolution=0, remesh="none", parts=parts
    )


@pytest.mark.parametrize(
    ("parts", "seen_apart", "centres", "pieces"),
    [
        ("keep", 2, (-0.6, 0.6), 2),
        ("keep", 3, (-0.7, 0.0, 0.7), 3),
        ("keep", 2, (-0.3, 0.25), 2),  # a gap so small that a rod would join it
        ("keep", 1, (-0.3, 0.25), 1),  # in one piece in every view: a lost connection
        ("join", 2, (-0.6, 0.6), 1),
        ("largest", 2, (-0.3, 0.25), 1),
    ],
)
def test_surfaces_of_several_parts(
    parts: Parts, seen_apart: int, centres: tuple[float, ...], pieces: int
) -> None:
    mesh = extracted(parts, seen_apart, *centres)
    body = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert body.body_count == pieces and body.is_watertight and body.volume > 0
    assert len(mesh.faces) <= 2024
    spans = float(np.ptp(mesh.vertices[:, 0]))
    assert (spans > 0.8) == (parts != "largest")


def test_the_flag_sets_both_stages(command: Command, toy: Path, tmp_path: Path) -> None:
    done = command("run", str(toy), "--parts", "glue", "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "keep, join, largest" in done.stderr
    planned = command("plan", str(toy), "--parts", "join", "--no-cache")
    assert planned.returncode == 0, planned.stderr
