"""Headless Chromium draws the files as this package does: three.js, and the page's own viewer.

Both sides draw the same cameras at 512 x 512 pixels.

Silhouette: the outline of a compact object that fills the picture is about 1200 pixels long and
encloses 80 000; both sides sample pixels differently (4 samples against 9), which moves a pixel
now and then, 0.2 % in all. .97 leaves room for thin things, whose outline is longer, and is far
above what a wrong pose, handedness or scale gives.

Colour: under ambient light of pi, three.js shows a dielectric's base colour itself, less what its
energy conservation takes (1 % at 200 / 255). Filters differ between mip levels. Both together are
about 2 / 255; a wrong transfer curve or a flipped texture gives 20 and more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_erosion

from img2mesh.artifacts.asset_files import load_glb
from img2mesh.report.rendering import Renderer
from tests.clients.conftest import Browser, files_of
from tests.clients.stated import FOV_DEG, SIZE, Stated, open_rgba, overlap, plain, read, sights

Property = Callable[..., None]
Drawn = dict[Path, dict[str, Any]]

IOU = 0.97
COLOUR = 4 / 255
#: The normal map must be seen to do something under a light from the side.
RELIEF = 0.1 / 255


@pytest.fixture(scope="session")
def in_three(request: pytest.FixtureRequest, browser: Browser) -> Drawn:
    """Every GLB of the folder by three.js: neutral light, then with and without normal map."""
    jobs = []
    for path in files_of(request.config, ".glb"):
        stated = read(path)
        lights = ["neutral"]
        if stated.has("normalTexture"):
            lights += ["key", "key without normal map"]
        shots = [
            {"matrix": s.camera.world_from_camera.tolist(), "fov": FOV_DEG, "light": light}
            for light in lights
            for s in sights(stated)
        ]
        jobs.append({"with": "three.js", "file": str(path.resolve()), "size": SIZE, "shots": shots})
    answers = browser.draw(jobs)
    return dict(zip(files_of(request.config, ".glb"), answers, strict=True))


@pytest.fixture(scope="session")
def in_model_viewer(request: pytest.FixtureRequest, browser: Browser) -> Drawn:
    """The report page of every asset, drawn by its own <model-viewer>."""
    folders = [p.parent for p in files_of(request.config, ".glb") if p.name == "mesh.glb"]
    jobs = []
    for folder in folders:
        shots = [
            {
                "orbit": [s.azimuth_deg, s.elevation_deg, s.distance],
                "target": s.target.tolist(),
                "fov": FOV_DEG,
            }
            for s in sights(read(folder / "mesh.glb"))
        ]
        page = str((folder / "report.html").resolve())
        jobs.append({"with": "model-viewer", "file": page, "size": SIZE, "shots": shots})
    return dict(zip(folders, browser.draw(jobs), strict=True))


def arrived(answer: dict[str, Any], client: str, note: Property) -> None:
    note("client", f"{client}, Chromium {answer['chromium']}")
    assert "failed" not in answer, answer["failed"]
    assert answer["refused"] == []


def textured(stated: Stated) -> Renderer | None:
    """The asset for our own pictures; a compressed file stands for the plain one beside it."""
    if not stated.has("baseColorTexture"):
        return None
    return Renderer(load_glb(stated.path if stated.exact else plain(stated.path)))


def test_three_js_draws_what_we_draw(
    glb: Path, stated: Stated, in_three: Drawn, record_property: Property, pictures: Path
) -> None:
    """triangles, bounds, maps; three pictures against our own; no message, no request"""
    answer = in_three[glb]
    arrived(answer, f"three.js r{answer.get('revision')}", record_property)
    assert answer["messages"] == []
    assert answer["triangles"] == len(stated.corners)
    loose = 1e-6 if stated.exact else 1e-3  # compression rounds positions
    box = np.array([answer["min"], answer["max"]])
    np.testing.assert_allclose(box, stated.bounds, atol=loose * stated.extent)
    for material in answer["materials"]:
        assert (material["map"] is not None) == stated.has("baseColorTexture")
        assert (material["normalMap"] is not None) == stated.has("normalTexture")
        assert (material["roughnessMap"] is not None) == stated.has("metallicRoughnessTexture")
        assert (material["aoMap"] is not None) == stated.has("occlusionTexture")
        assert material["map"] is None or material["map"]["colourSpace"] == "srgb"
        assert material["normalMap"] is None or material["normalMap"]["colourSpace"] == "linear"

    stage = textured(stated)
    ious, differences, beside = [], [], []
    for number, sight in enumerate(sights(stated)):
        theirs, alpha = open_rgba(Path(answer["out"]) / f"{number}.png")
        ours = stated.coverage(sight.camera)
        ious.append(overlap(alpha, ours))
        if stage is not None:
            colours, _ = stage.render(sight.camera)
            # Two pixels in from the outline, where either side mixes in what lies behind.
            inner = binary_erosion((alpha > 0.5) & (ours > 0.5), iterations=2)
            differences.append(float(np.abs(theirs - colours)[inner].mean()))
            beside.append(np.concatenate([theirs * alpha[..., None], colours * ours[..., None]]))
    record_property("least silhouette IoU", min(ious))
    assert min(ious) >= IOU
    if stage is not None:
        pixels = (np.concatenate(beside, axis=1) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(pictures / f"{glb.parent.name}-{glb.stem}.png")
        record_property("largest mean colour difference / 255", 255 * max(differences))
        assert max(differences) <= COLOUR


def test_the_normal_map_is_used(relief: Path, in_three: Drawn, record_property: Property) -> None:
    """normal map: shading under a light from the side changes with it"""
    answer = in_three[relief]
    arrived(answer, f"three.js r{answer.get('revision')}", record_property)
    count = len(sights(read(relief)))
    changes = []
    for number in range(count):
        with_map, alpha = open_rgba(Path(answer["out"]) / f"{count + number}.png")
        without, _ = open_rgba(Path(answer["out"]) / f"{2 * count + number}.png")
        changes.append(float(np.abs(with_map - without)[alpha > 0.5].mean()))
    record_property("least mean change / 255", 255 * min(changes))
    assert min(changes) > RELIEF


def test_the_report_page_shows_the_mesh(
    folder: Path, in_model_viewer: Drawn, record_property: Property
) -> None:
    """report.html from disk: viewer loads, no error, no request, every picture; silhouettes"""
    answer = in_model_viewer[folder]
    arrived(answer, "`<model-viewer>` 4.4.0", record_property)
    # Its warning that a frame took too long only says that software rendering is slow.
    assert [m for m in answer["messages"] if not m.startswith("warning: rAF timed out")] == []
    assert min(answer["images"]) > 0
    stated = read(folder / "mesh.glb")
    ious = []
    for number, sight in enumerate(sights(stated)):
        _, alpha = open_rgba(Path(answer["out"]) / f"{number}.png")
        ious.append(overlap(alpha, stated.coverage(sight.camera)))
    record_property("least silhouette IoU", min(ious))
    assert min(ious) >= IOU
