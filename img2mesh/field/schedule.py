"""The fit's levels, coarse to fine: what is optimised at which resolution for how long.

The numbers were measured (docs/reconstruction.md); lengths called "unit" are relative to the
object's bounding radius.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from img2mesh.errors import InputError


@dataclass(frozen=True)
class Level:
    """One resolution of the coarse-to-fine fit.

    Attributes:
        grid: grid points along the longest side of the object.
        iterations: number of steps.
        rays: rays per step.
        stride: every how many-th pixel is used, along both axes.
        image_blur_px: Gaussian blur of the pictures.
        scale_start, scale_end: logistic scale b, unit, falling geometrically.
        gradient_blur: Gaussian blur of the gradient in voxels.
        curvature: weight of the curvature loss.
        photometric: share of the photometric weight.
        refresh: samples and depth maps are recomputed every so many steps.
        rematch: windows are matched between the views every so many steps.
        warps: before the steps, the surface is warped to matched depths this many times, each
            match spread over this many voxels.
        planes: horizontal planes that are matched, along the longest side.
        search: half range of the matching in depth, voxels; inwards it is four times as far the
            first time, because a hull lies outside.
        step_start, step_end: step length in voxels, falling geometrically.
    """

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
    rematch: int
    planes: int
    search: float
    warps: tuple[float, ...]
    step_start: float
    step_end: float


#: Grid from which every pixel is used: of a coarser one a voxel covers several. Below it, half the
#: pixels along both axes, half the rays a step, 64 planes, one warp and fewer steps cost less than
#: half the time (docs/reconstruction.md).
_EVERY_PIXEL = 96


def make_schedule(
    *, exact: bool, grid: int, fine_grid: int, known_depth: bool
) -> tuple[Level, ...]:
    """The levels: coarse (half the grid), fine and, with ``fine_grid``, finest.

    Args:
        exact: the views are of one real body; else a network's, which do not quite agree.
        grid, fine_grid: grid points along the longest side; ``fine_grid`` 0 leaves finest out.
        known_depth: the fit starts from carved depths: coarse is left out, fine is short and
            smooths little (coarse's grid and fine's blur would only lose thin parts).

    Raises:
        InputError: senseless grid sizes.
    """
    if grid < 16 or grid > 512 or (fine_grid and not grid <= fine_grid <= 512):
        raise InputError(
            f"grid {grid} and fine_grid {fine_grid} do not fit: grid must be 16 to 512, fine_grid "
            "0 (off) or from grid to 512"
        )
    coarse = Level(
        grid=max(16, grid // 2),
        iterations=50,
        rays=6000,
        stride=2,
        image_blur_px=2.0,
        scale_start=0.025,
        scale_end=0.008,
        gradient_blur=3.0,
        curvature=0.3,
        photometric=1.0,
        refresh=25,
        rematch=50,
        planes=126,
        search=4.0,
        warps=(4.0, 2.0),
        step_start=0.3,
        step_end=0.09,
    )
    fine = replace(
        coarse,
        grid=grid,
        iterations=80,
        rays=8192,
        stride=1,
        image_blur_px=0.8,
        scale_start=0.008,
        scale_end=0.003,
        gradient_blur=2.0,
        curvature=1.0,
        refresh=40,
        rematch=80,
        warps=(),
    )
    finest = replace(
        fine,
        grid=fine_grid,
        iterations=40,
        image_blur_px=0.5,
        scale_start=0.003,
        scale_end=0.0022,
        curvature=0.3,
        refresh=40,
        rematch=40,
        search=3.0,
        step_start=0.15,
    )
    if grid < _EVERY_PIXEL:
        coarse = replace(coarse, stride=4, rays=3000, planes=64, warps=(3.0,))
        fine = replace(fine, stride=2, rays=4096, planes=64, iterations=60)
    if not exact:
        coarse = replace(coarse, curvature=1.0)
        fine = replace(fine, curvature=4.0, gradient_blur=3.0, photometric=0.5)
        finest = replace(finest, curvature=1.5, gradient_blur=2.5, photometric=0.5)
    if known_depth:
        fine = replace(
            fine,
            iterations=40,
            photometric=0.1,
            gradient_blur=1.5,
            curvature=fine.curvature / 10,
        )
        finest = replace(finest, gradient_blur=1.5, photometric=0.1)
    levels = (fine,) if known_depth else (coarse, fine)
    return (*levels, finest) if fine_grid else levels
