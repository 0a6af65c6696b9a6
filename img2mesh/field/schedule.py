"""The fit's stages: what is optimised at which resolution for how long.

Numbers are those of the measured design (six synthetic objects, exact views, Chamfer .52 % of the
diagonal); lengths called "unit" are relative to the object's bounding radius.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from img2mesh.errors import InputError


@dataclass(frozen=True)
class Stage:
    """One resolution of the coarse-to-fine fit.

    Attributes:
        name: for progress and checkpoints.
        grid: grid points along the longest side of the box.
        iterations: number of steps.
        rays: rays per step.
        stride: every how many-th pixel is used, along both axes.
        image_blur_px: Gaussian blur of the pictures.
        scale_start, scale_end: logistic scale b, unit, falling geometrically.
        gradient_blur: Gaussian blur of the gradient in voxels.
        curvature: weight of the curvature loss.
        photometric: weight of the photometric loss.
        refresh: samples and depth maps are recomputed every so many steps.
        leaps: before the steps, the surface leaps to matched depths this many times, spreading
            each match over this many voxels.
        search: half range of the depth search at each refresh, voxels; inwards it is four times
            as far the first time, because a hull lies outside.
        step_start, step_end: step length in voxels, falling geometrically.
    """

    name: str
    grid: int
    iterations: int
    rays: int
    stride: int
    image_blur_px: float
    scale_start: float
    scale_end: float
    gradient_blur: float
    curvature: float
    photometric: float
    refresh: int
    search: tuple[float, ...]
    leaps: tuple[float, ...]
    step_start: float = 0.12
    step_end: float = 0.036


#: "exact": views of one real body; "generated": a network's views, which do not quite agree.
#: The specification calls them balanced and strong.
SMOOTHNESS = ("exact", "generated")


def stages(
    smoothness: str, *, grid: int, fine_grid: int, photometric_weight: float
) -> tuple[Stage, ...]:
    """Stages A (half the grid), B and, with ``fine_grid``, C.

    Raises:
        InputError: unknown smoothness or senseless grid sizes.
    """
    if smoothness not in SMOOTHNESS:
        raise InputError(
            f"smoothness {smoothness!r} is unknown: choose auto, {' or '.join(SMOOTHNESS)}"
        )
    if grid < 16 or grid > 512 or (fine_grid and not grid <= fine_grid <= 512):
        raise InputError(
            f"grid {grid} and fine_grid {fine_grid} do not fit: grid must be 16 to 512, fine_grid "
            "0 (off) or from grid to 512"
        )
    strong = smoothness == "generated"
    w = photometric_weight
    a = Stage("A", max(16, grid // 2), 100, 6000, 2, 2.0, 0.025, 0.008, 3.0, 0.3, w, 34, (4.0, 4.0, 3.0), (4.0, 2.0), 0.3, 0.09)
    b = Stage("B", grid, 80, 8192, 1, 0.8, 0.008, 0.003, 2.0, 1.0, w, 50, (4.0, 3.0), (), 0.3, 0.09)
    c = Stage("C", fine_grid, 40, 8192, 1, 0.5, 0.003, 0.0022, 2.0, 0.3, w, 50, (3.0,), (), 0.15, 0.09)
    if strong:
        a = replace(a, curvature=1.0)
        b = replace(b, curvature=4.0, gradient_blur=3.0, photometric=w / 2)
        c = replace(c, curvature=1.5, gradient_blur=2.5, photometric=w / 2)
    return (a, b, c) if fine_grid else (a, b)
