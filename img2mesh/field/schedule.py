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
        rematch: windows are matched between the views every so many steps.
        leaps: before the steps, the surface leaps to matched depths this many times, spreading
            each match over this many voxels.
        planes: horizontal planes that are matched, along the longest side.
        search: half range of the matching in depth, voxels; inwards it is four times as far the
            first time, because a hull lies outside.
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
    rematch: int
    planes: int
    search: float
    leaps: tuple[float, ...]
    step_start: float
    step_end: float


#: "exact": views of one real body; "generated": a network's views, which do not quite agree.
#: The specification calls them balanced and strong.
SMOOTHNESS = ("exact", "generated")


#: Grid from which every pixel is used: of a coarser one a voxel covers several. Below it, half the
#: pixels along both axes, half the rays a step, 64 planes, one leap and fewer steps cost less than
#: half the time: F@1 % of armchair, cabinet, mug and stool .60, .77, .57, .77 -> .60, .73, .57,
#: .69. Of leaps of 4 and 2 voxels, then, one of 3 is as good or better on seven objects of eight
#: (armchair .56 -> .60, cabinet .75 -> .73) and spares a matching.
_EVERY_PIXEL = 96


def stages(
    smoothness: str, *, grid: int, fine_grid: int, photometric_weight: float, known_depth: bool
) -> tuple[Stage, ...]:
    """Stages A (half the grid), B and, with ``fine_grid``, C.

    With ``known_depth`` the fit starts from the carved depths: A is left out, B is short and
    smooths little (measured on eight objects: A's coarse grid and B's blur only lose thin parts).

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
    a = Stage(
        name="A",
        grid=max(16, grid // 2),
        iterations=50,
        rays=6000,
        stride=2,
        image_blur_px=2.0,
        scale_start=0.025,
        scale_end=0.008,
        gradient_blur=3.0,
        curvature=0.3,
        photometric=w,
        refresh=25,
        rematch=50,
        planes=126,
        search=4.0,
        leaps=(4.0, 2.0),
        step_start=0.3,
        step_end=0.09,
    )
    b = replace(
        a,
        name="B",
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
        leaps=(),
    )
    c = replace(
        b,
        name="C",
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
        a = replace(a, stride=2 * a.stride, rays=a.rays // 2, planes=64, leaps=(3.0,))
        b = replace(b, stride=2 * b.stride, rays=b.rays // 2, planes=64, iterations=60)
    if strong:
        a = replace(a, curvature=1.0)
        b = replace(b, curvature=4.0, gradient_blur=3.0, photometric=w / 2)
        c = replace(c, curvature=1.5, gradient_blur=2.5, photometric=w / 2)
    if known_depth:
        b = replace(
            b, iterations=40, photometric=w / 10, gradient_blur=1.5, curvature=b.curvature / 10
        )
        return (b, replace(c, gradient_blur=1.5, photometric=w / 10)) if fine_grid else (b,)
    return (a, b, c) if fine_grid else (a, b)
