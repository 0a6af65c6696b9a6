"""Held-out views: pictures of the prediction against reference pictures with known cameras.

A predicted mesh is drawn *unlit* (its base colour as it is) at the reference's cameras, with 2x2
samples a pixel. That is fair where the texture holds the light of the pictures it was made from.
Both sides are put on white; per picture, then averaged:

``psnr``, ``ssim``
    Over the whole picture, see :mod:`img2mesh.imaging.metrics`.
``psnr_object``
    PSNR over pixels that either side covers by more than half: no free marks for background.
``mask_iou``
    Intersection over union of the two coverages, cut at one half.
``psnr_tiled``, ``ssim_tiled``, ``lpips_tiled``
    The papers' protocol: all views of one object tiled two wide, compared as one picture.
``lpips``, ``clip_similarity``, ``fid``
    Of networks whose weights the user names, see :mod:`img2mesh.evaluation.perceptual`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import View, ViewSet
from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS
from img2mesh.errors import InputError
from img2mesh.evaluation import definitions, frechet
from img2mesh.evaluation.perceptual import Perceptual
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.colour import linear_to_srgb
from img2mesh.imaging.metrics import iou, over_white, psnr, ssim
from img2mesh.imaging.sheet import tile
from img2mesh.io.read_mesh import SUFFIXES, Surface, load_surface

_HELD_OUT = "novel"


def compare(
    pred: Path,
    reference: Path,
    *,
    group: str | None = None,
    perceptual: Perceptual | None = None,
) -> dict[str, Any]:
    """Compare a mesh file, or a sheet or folder of views, with a sheet or folder of views.

    Args:
        pred: a mesh (drawn at the reference's cameras), or as many pictures as the reference.
        reference: a folder with a camera file, or a six-view sheet if ``pred`` has pictures too.
        group: list of a ``cameras.json``; by default ``novel`` where the file has it.
        perceptual: networks the user has weights for.

    Returns:
        Means over the views, figures of the tiled picture, ``views``: the same numbers for each,
        and ``definitions`` of all of them.

    Raises:
        InputError: unreadable files, or numbers or sizes of pictures that differ.
    """
    expected = _pictures(reference, group)
    if pred.suffix.lower() in SUFFIXES:
        given = drawn_at(load_surface(pred), expected)
    else:
        given = _pictures(pred, group)
    if len(given) != len(expected) or given[0].rgb.shape != expected[0].rgb.shape:
        raise InputError(
            f"{pred} has {len(given)} pictures of {_size(given)} pixels, the reference "
            f"{len(expected)} of {_size(expected)}"
        )
    perceptual = perceptual or Perceptual()
    found = measure(given, expected, perceptual)
    if perceptual.features is not None:
        found["fid"] = frechet.of_pictures(
            [on_white(v) for v in given], [on_white(v) for v in expected], perceptual.features
        )
    found["definitions"] = definitions.used(found)
    found["networks"] = dict(perceptual.names)
    return found


def drawn_at(surface: Surface, expected: tuple[View, ...]) -> tuple[View, ...]:
    """Draw a surface at the expected views' cameras.

    Raises:
        InputError: a view has no camera.
    """
    scene = Scene(surface.vertices, surface.faces)
    drawn = []
    for view in expected:
        if view.camera is None:
            raise InputError("a reference picture has no camera to draw the mesh with")
        drawn.append(draw_unlit(surface, scene, view.camera))
    return tuple(drawn)


def compare_surface(surface: Surface, expected: tuple[View, ...]) -> dict[str, Any]:
    """Draw a surface at the expected views' cameras and compare; see :func:`measure`."""
    return measure(drawn_at(surface, expected), expected)


def draw_unlit(surface: Surface, scene: Scene, camera: Camera, *, samples: int = 2) -> View:
    """The base colour a camera sees, with samples x samples rays a pixel.

    Encoded colours are averaged over the samples that hit; alpha is the share that hits.
    """
    fine = camera.resized(camera.width * samples, camera.height * samples)
    hits = scene.look(fine)
    mask = hits.mask
    buffer = np.zeros((*mask.shape, 4), np.float32)
    linear = surface.base_colour(hits.face[mask], hits.barycentric[mask])
    buffer[mask, :3], buffer[mask, 3] = linear_to_srgb(linear), 1
    blocks = buffer.reshape(camera.height, samples, camera.width, samples, 4).sum(axis=(1, 3))
    rgb: F32 = blocks[..., :3] / np.maximum(blocks[..., 3:], 1)
    return View(np.clip(rgb, 0, 1), blocks[..., 3] / samples**2, camera)


def _pictures(path: Path, group: str | None) -> tuple[View, ...]:
    if path.is_dir() or path.suffix.lower() == ".json":
        if group is None:
            try:
                return ViewSet.open(path, group=_HELD_OUT).views
            except InputError:  # a file without groups, or without this one
                return ViewSet.open(path).views
        return ViewSet.open(path, group=group).views
    # Only the pictures of a sheet are compared, so any rig will do.
    return ViewSet.open(path, rig=next(iter(RIGS))).views


def _size(views: tuple[View, ...]) -> str:
    height, width = views[0].rgb.shape[:2]
    return f"{width}x{height}"


def on_white(view: View) -> NDArray[np.float64]:
    """(h, w, 3) the picture as it is judged."""
    return over_white(view.rgb, view.alpha)


def measure(
    pred: tuple[View, ...], reference: tuple[View, ...], perceptual: Perceptual | None = None
) -> dict[str, Any]:
    """Every figure of the views of one object: means, the tiled picture's, and each view's."""
    networks = perceptual or Perceptual()
    pairs = list(zip(pred, reference, strict=True))
    rows = [_measure(a, b, networks) for a, b in pairs]
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    means["mask_iou_worst"] = float(min(row["mask_iou"] for row in rows))
    a, b = (tile(np.stack([on_white(v) for v in views])) for views in zip(*pairs, strict=True))
    tiled = {"psnr_tiled": psnr(a, b), "ssim_tiled": ssim(a, b)}
    if networks.lpips is not None:
        tiled["lpips_tiled"] = networks.lpips(a, b)
    return {**means, **tiled, "count": len(rows), "background": "white", "views": rows}


def _measure(pred: View, reference: View, networks: Perceptual) -> dict[str, float]:
    a, b = on_white(pred), on_white(reference)
    ours, theirs = pred.alpha > 0.498, reference.alpha > 0.498  # 8-bit alpha above 127
    return {
        "psnr": psnr(a, b),
        "psnr_object": psnr(a, b, ours | theirs),
        "ssim": ssim(a, b),
        "mask_iou": iou(ours, theirs),
        **networks.measure(a, b),
    }
