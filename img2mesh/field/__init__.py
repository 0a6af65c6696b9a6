"""The radiance field: posed views to a signed-distance field, by volume rendering.

A dense grid of signed distances, no network and no learned colour: masks, photo-consistency between
the views and, where there are, known depths and normals move the surface.

Notation, one meaning a word in this whole room:

``depth``
    z-depth in the view's camera, world units; NaN where unknown, inf where nothing is seen.
    ``log_depth`` is its natural logarithm.
``surface``
    depth of the *present* shape along each ray, inf where the ray meets nothing;
    ``target_depth`` is where it should be.
``confidence``
    in [0, 1], how far one source (a depth, a match, a view's estimate) is believed.
``weight``
    how much one term, equation or sample counts against others; any positive number.
    The weight of a target is its confidence times the weight of the depth term.
``sdf``
    :class:`~img2mesh.field.grid.Sdf`, signed distances in world units on a regular grid, negative
    inside; ``values`` are the numbers alone, (nx, ny, nz). ``voxel`` is the grid's spacing.
``scale``
    b of the logistic function that turns distance into opacity (NeuS), world units; small: sharp.
``unit``
    bounding radius of the first shape, world units: lengths in the schedule are multiples of it.
``ray``, ``view``, ``pixel``
    int64 numbers: of a ray in its batch; of a view; of a pixel in the pictures of all views,
    flattened and one after the other. Sizes are r rays, v views, p pixels, n anything else.

Vectors of many points or directions lie as ``(3, n)``: x, y and z are contiguous rows, which torch
adds and multiplies much faster on CPUs than it reduces a last axis of three. Colours are gathered
pixel by pixel and lie as ``(n, 3)``. Samples, of which every ray has another number, are packed ray
after ray.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median_low
from typing import Literal, get_args

from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.errors import InputError
from img2mesh.geometry.silhouettes import Silhouette

__all__ = ["Renderer", "Smoothness", "fit", "require_renderer"]

#: "exact": views of one real body; "generated": a network's views, which do not quite agree;
#: "auto" asks the views' provenance and, where that is "given", how well their outlines agree.
Smoothness = Literal["auto", "exact", "generated"]

#: Whose volume rendering: torch's on every device, or nerfacc's functions (its CUDA extension on a
#: GPU), whose numbers are the same.
Renderer = Literal["torch", "nerfacc"]

#: Weights of colour agreement between the views, of |gradient| = 1, and of matched depths.
_PHOTOMETRIC, _EIKONAL, _MATCH = 50.0, 0.1, 100.0
#: Outlines further apart than this are wrong rather than inaccurate: more room does not help.
_MOST_MISPLACED = 4.0
#: Told where a base was found.
_FLAT = "every view looks down: the base is taken to be flat where the walls end"
#: A piece of an outline of less than this share of the largest is a speck.
_LEAST_PART = 0.02


def fit(
    views: ViewSet,
    *,
    grid: int,
    fine_grid: int,
    density_steps: int,
    smoothness: Smoothness,
    relax_px: float | None,
    normal_weight: float,
    depth_weight: float,
    use_photo: bool,
    renderer: Renderer,
    seed: int,
    device: str,
    scratch: Path | None,
    progress: Callable[[float], None] | None,
) -> RadianceField:
    """Fit a signed-distance radiance field to posed views.

    Args:
        views: posed views; depth and normals supervise the fit where they are given.
        grid: grid points along the longest side of the object's box.
        fine_grid: the same for a last, finer level; 0 leaves it out.
        density_steps: steps of a coarse density field that shows what is empty before the surface
            is fitted (:mod:`img2mesh.field.density`); only where no depths are known. 0: none.
        smoothness: how far the views are views of one body.
        relax_px: widen the outlines first by so many pixels; None takes half of what they are
            found to be misplaced by, and nothing from exact views.
        normal_weight, depth_weight: weights of known normals and depths.
        use_photo: use the input picture as one more view where its camera is known.
        renderer: ``torch``, or ``nerfacc``, which needs its CUDA extension on a GPU.
        seed: order of the rays. The same seed gives the same bytes on a CPU; on a GPU sums are
            added in any order, and the last bits differ from run to run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:n``.
        scratch: folder for checkpoints; a fit that was killed resumes from there.
        progress: called with the fraction done.

    Returns:
        The field on a regular grid around the object, in the views' world.

    Raises:
        InputError: empty masks, cameras that do not belong together, or senseless settings.
        Img2MeshError: the views contradict each other so much that no surface is left.
    """
    import torch

    from img2mesh.field.from_normals.depth import with_estimated_depth
    from img2mesh.field.losses import Weights
    from img2mesh.field.optimize import Fit, optimize
    from img2mesh.field.parallel import calm_torch
    from img2mesh.field.pictures import observations_of
    from img2mesh.field.schedule import make_schedule
    from img2mesh.geometry.resting import floor_height
    from img2mesh.geometry.silhouettes import make_silhouettes, relaxed

    if smoothness not in get_args(Smoothness):
        known = ", ".join(get_args(Smoothness))
        raise InputError(f"smoothness {smoothness!r} is unknown: there are {known}")
    if relax_px is not None and relax_px < 0:
        raise InputError(f"relax_px {relax_px} must be none or a number of pixels, 0 or more")
    if density_steps < 0:
        raise InputError(f"density_steps {density_steps} must be 0 (off) or more")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device!r} was asked for, but torch sees no GPU: use auto or cpu")
    where = torch.device(device)
    if renderer not in get_args(Renderer):
        raise InputError(f"renderer {renderer!r} is unknown: there are torch, nerfacc")
    if renderer == "nerfacc" and where.type == "cuda":
        from img2mesh.field.nerfacc_cuda import require_extension

        require_extension()
    observations = observations_of(views, use_photo=use_photo)
    silhouettes = make_silhouettes([o.view for o in observations])
    # Not the photo's: an estimated camera is off by a degree, which says nothing of the views.
    exact, relax = _how_exact(views, silhouettes[: len(views.cameras)], smoothness, relax_px)
    silhouettes = relaxed(silhouettes, relax)
    if views.depth is None and normal_weight and depth_weight:
        with calm_torch():
            observations = with_estimated_depth(observations, silhouettes, where)
    known_depth = any(o.depth is not None for o in observations)
    floor = floor_height(silhouettes)
    fitted = optimize(
        Fit(
            observations,
            silhouettes,
            floor,
            make_schedule(exact=exact, grid=grid, fine_grid=fine_grid, known_depth=known_depth),
            Weights(_PHOTOMETRIC, _EIKONAL, depth_weight, normal_weight, _MATCH),
            density_steps,
            seed,
            where,
            renderer,
            scratch,
            progress,
        )
    )
    notes = fitted.notes if floor is None else (*fitted.notes, _FLAT)
    return replace(fitted, parts=_parts(views), notes=notes)


def _parts(views: ViewSet) -> int:
    """How many separate pieces the outlines show: in any view, or in most of a network's."""
    from img2mesh.imaging.masks import keep_pieces

    counts = [
        len(keep_pieces(one > 0.5, diagonal=True, pixels=16, share=_LEAST_PART)[1])
        for one in views.alpha
    ]
    return max(counts) if views.provenance.exact else median_low(counts)


def require_renderer(renderer: Renderer, device: str) -> None:
    """Find out before the work, and without torch, that a renderer cannot be had on a GPU.

    Raises:
        InputError: nerfacc's CUDA extension is neither there nor can it be compiled.
    """
    if renderer != "nerfacc" or not device.startswith("cuda") or shutil.which("nvcc"):
        return
    found = importlib.util.find_spec("nerfacc")
    folders = found.submodule_search_locations if found else None
    if not any(True for folder in folders or () for _ in Path(folder).glob("csrc.*")):
        raise InputError(
            "radiance.renderer nerfacc needs nerfacc's CUDA extension on a GPU, and there is no "
            "CUDA compiler, nvcc, to build it with: use torch, whose numbers are the same"
        )


def _how_exact(
    views: ViewSet, silhouettes: Sequence[Silhouette], smoothness: str, relax_px: float | None
) -> tuple[bool, float]:
    """Whether the views are taken for views of one body, and how far to widen their outlines."""
    if smoothness != "auto" and relax_px is not None:
        return smoothness == "exact", float(relax_px)
    from img2mesh.geometry.misplacement import LIMIT_PX, misalignment

    misplaced = misalignment(silhouettes)
    doubtful = not views.provenance.exact or views.provenance.generator == "given"
    agreed = not doubtful or misplaced < LIMIT_PX
    exact = agreed and views.provenance.exact if smoothness == "auto" else smoothness == "exact"
    if relax_px is None:
        relax_px = 0.0 if agreed else min(misplaced, _MOST_MISPLACED) / 2
    return exact, float(relax_px)
