"""From a cutout to the reference of a distillation, and from its field to posed views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from img2mesh.artifacts import Cutout, Provenance, View, ViewSet
from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera, orbit
from img2mesh.core.rigs import rig
from img2mesh.diffusion.distillation import Guidance, Reference
from img2mesh.field.distillation.loop import distil
from img2mesh.field.distillation.recipe import Recipe
from img2mesh.field.distillation.voxels import Voxels
from img2mesh.imaging.fill import continue_colours
from img2mesh.imaging.framing import framed, square_around

#: Sides of the reference and of the views that are handed on, pixels.
_REFERENCE, _VIEW = 256, 320
#: Pixels of less opacity take their colour from their neighbours.
_SURE = 0.9
#: Rows that are rendered at once.
_STRIP = 32


def distilled_views(
    cutout: Cutout,
    guidance: Guidance,
    recipe: Recipe,
    *,
    elevation: float,
    provenance: Provenance,
    device: str,
    scratch: Path | None,
    key: str,
    progress: Callable[[float, str], None],
) -> ViewSet:
    """Distil a field for a cutout and look at it from the six poses of a rig.

    Args:
        cutout: the object; its camera is at azimuth 0.
        guidance, recipe, device, scratch, key, progress: see :func:`.loop.distil`.
        elevation: of the cutout's camera, degrees.
        provenance: of the views.

    Returns:
        Views with depth, and the photo with its camera.
    """
    known = reference_of(cutout, elevation, recipe)
    field = distil(
        guidance, known, recipe, device=device, scratch=scratch, key=key, progress=progress
    )
    cameras = rig("zero123plus-v1.1").cameras(_VIEW)
    rgb, alpha, depth = zip(*(look(field, guidance, camera) for camera in cameras), strict=True)
    return ViewSet(
        rgb=np.stack(rgb),
        alpha=np.stack(alpha),
        cameras=cameras,
        depth=np.stack(depth),
        photo=View(cutout.rgb, cutout.alpha, _photo_camera(cutout, elevation, recipe)),
        provenance=provenance,
    )


def reference_of(cutout: Cutout, elevation: float, recipe: Recipe) -> Reference:
    """The cutout as the published programs see it: on white, 200 of 256 pixels long."""
    picture = framed(cutout.rgb, cutout.alpha, _REFERENCE)
    mask = framed(np.zeros_like(cutout.rgb), cutout.alpha, _REFERENCE)
    camera = Camera.orbit(
        0, elevation, distance=recipe.distance, fov_deg=recipe.fov_deg,
        width=_REFERENCE, height=_REFERENCE,
    )  # fmt: skip
    rgb = torch.from_numpy(np.asarray(picture, np.float32) / 255)
    alpha = 1 - torch.from_numpy(np.asarray(mask, np.float32)[..., 0] / 255)
    return Reference(rgb, alpha, camera)


def _photo_camera(cutout: Cutout, elevation: float, recipe: Recipe) -> Camera:
    """The reference's camera, for the cutout's own pixels."""
    x, y, side = square_around(cutout.alpha)
    focal = side / 2 / np.tan(np.deg2rad(recipe.fov_deg) / 2)
    pose = orbit(0, elevation, recipe.distance)
    size = cutout.size
    return Camera(pose, focal, focal, x + side / 2, y + side / 2, size, size)


def look(field: Voxels, guidance: Guidance, camera: Camera) -> tuple[F32, F32, F32]:
    """Straight colours (h, w, 3), alpha (h, w) and z-depth (h, w) as a camera sees the field."""
    shape = camera.height, camera.width
    with torch.no_grad():
        strips = [field.render(c, guidance.background()) for c in _strips(camera)]
        picture = torch.cat([seen.picture for seen in strips], dim=1)
        opacity, surface = (
            torch.cat([getattr(seen, name) for seen in strips]) for name in ("opacity", "surface")
        )
        if field.latent:  # at the size of latents, where the decoder works
            small = camera.resized(camera.width // 8, camera.height // 8)
            latents = field.render(small, guidance.background()).picture
            rgb = guidance.to_rgb(latents[None])
            picture = torch.nn.functional.interpolate(rgb.cpu(), shape, mode="bilinear")[0]
    alpha = opacity.clamp(0, 1).numpy().astype(np.float32)
    white = picture.clamp(0, 1).permute(1, 2, 0).numpy()
    straight = (white - (1 - alpha)[..., None]) / np.maximum(alpha, 1e-3)[..., None]
    own: F32 = np.clip(straight, 0, 1).astype(np.float32)
    colours = continue_colours(own, alpha, above=_SURE)
    depth = np.where(alpha > 0.5, surface.numpy(), np.nan).astype(np.float32)
    return colours, alpha, depth


def _strips(camera: Camera) -> list[Camera]:
    """The camera in strips of rows: all samples of a large picture at once take a gigabyte."""
    starts = range(0, camera.height, _STRIP)
    return [
        replace(camera, cy=camera.cy - top, height=min(_STRIP, camera.height - top))
        for top in starts
    ]
