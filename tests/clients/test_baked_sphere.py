"""three.js shades a sphere of eighty flat faces like the sphere, by the normal map baked for it.

The light stands to the side, so that a wrong normal shows at once; the same file with the map's
green turned over, or without the map, must not pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import TexturedMesh
from tests.clients.conftest import Browser
from tests.clients.stated import FOV_DEG, open_rgba, read, sights
from tests.shapes import (
    baked,
    faceted_ball,
    field_of,
    mirrored,
    psnr,
    round_ball,
    sphere_sdf,
    turned_over,
)

Property = Callable[..., None]

SIZE = 256
#: Two pictures shade alike from here on, in dB.
ALIKE = 30.0


@pytest.fixture(scope="module")
def shots(browser: Browser, workplace: Path) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Pictures (rgb, alpha) of every body by name."""
    low, field = faceted_ball(trimesh.creation.icosphere(1, 0.7)), field_of(sphere_sdf)
    packed = baked(low, field)
    bodies: dict[str, TexturedMesh] = {
        "round": round_ball(),
        "bare": replace(packed, normal_map=None, tangents=None),
        "mapped": packed,
        "mirrored charts": baked(mirrored(low), field),
        "green down": turned_over(packed),
    }
    jobs = []
    for name, body in bodies.items():
        file = workplace / f"sphere {name}.glb"
        body.save(file)
        cameras = [sight.camera for sight in sights(read(file))]
        views = [
            {"matrix": c.world_from_camera.tolist(), "fov": FOV_DEG, "light": "key"}
            for c in cameras
        ]
        jobs.append({"with": "three.js", "file": str(file), "size": SIZE, "shots": views})
    answers = browser.draw(jobs)
    for answer in answers:
        assert "failed" not in answer, answer["failed"]
    return {
        name: [open_rgba(Path(answer["out"]) / f"{k}.png") for k in range(len(views))]
        for name, answer in zip(bodies, answers, strict=True)
    } | {"client": [f"three.js r{answers[0]['revision']}, Chromium {answers[0]['chromium']}"]}


@pytest.mark.parametrize("body", ["mapped", "mirrored charts"])
def test_a_baked_sphere_shades_like_the_sphere(
    body: str, shots: dict, record_property: Property
) -> None:
    """normal map of an 80-face sphere: shading against the sphere's own, PSNR in dB"""
    record_property("client", shots["client"][0])
    found = {name: likeness(shots[name], shots["round"]) for name in (body, "bare", "green down")}
    record_property("least PSNR with the map", found[body])
    record_property("largest PSNR without it", found["bare"])
    record_property("largest PSNR with green turned over", found["green down"])
    assert found[body] >= ALIKE
    assert found["bare"] < ALIKE and found["green down"] < ALIKE


def likeness(shown: list, truth: list) -> float:
    """The least PSNR of the pictures, where both bodies are."""
    values = []
    for (rgb, alpha), (other, covered) in zip(shown, truth, strict=True):
        both = (alpha > 0.99) & (covered > 0.99)
        values.append(psnr(rgb[both], other[both]))
    return min(values)
