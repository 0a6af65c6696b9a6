"""Posed pictures as they are read, whatever files they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import Rig
from img2mesh.io.view_checks import check_aim, check_outlines, up_note


@dataclass(frozen=True)
class PosedPictures:
    """What the files of posed views hold.

    Attributes:
        rgb: (v, h, w, 3) float32 in [0, 1], colour continued past the outline.
        alpha: (v, h, w) float32 in [0, 1].
        cameras: v cameras.
        notes: sentences for the user.
        depth: (v, h, w) float32 z-depth in world units, NaN where there is none; or None.
        normals: (v, h, w, 3) float32 unit world-space normals, 0 where there is none; or None.
    """

    rgb: F32
    alpha: F32
    cameras: tuple[Camera, ...]
    notes: tuple[str, ...] = ()
    depth: F32 | None = None
    normals: F32 | None = None


def assemble(
    cut: Sequence[tuple[F32, F32]],
    cameras: tuple[Camera, ...],
    names: list[str],
    *,
    rig: Rig | None = None,
) -> PosedPictures:
    """Views (rgb, alpha) of one size, with cameras that were seen to belong to them.

    Raises:
        InputError: the cameras or their order cannot be right.
    """
    alpha = np.stack([a for _, a in cut])
    check_aim(alpha, cameras, names)
    notes = (*up_note(cameras), *check_outlines(alpha, cameras, names, rig=rig))
    return PosedPictures(np.stack([c for c, _ in cut]), alpha, cameras, notes)
