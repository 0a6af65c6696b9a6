"""The radiance field: posed views to a signed-distance field, by volume rendering.

A dense grid of signed distances, no network and no learned colour: masks, photo-consistency between
the views and, where there are, known depths and normals move the surface.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.errors import InputError

__all__ = ["fit"]

#: Outlines further apart than this are wrong rather than inaccurate: more room does not help.
_MOST_MISPLACED = 4.0


def fit(
    views: ViewSet,
    *,
    grid: int = 128,
    fine_grid: int = 0,
    smoothness: str = "auto",
    photometric_weight: float = 50.0,
    eikonal_weight: float = 0.1,
    match_weight: float = 100.0,
    fog_steps: int = 200,
    normal_weight: float = 1.0,
    depth_weight: float = 20.0,
    relax_px: float | None = None,
    use_photo: bool = True,
    seed: int = 42,
    device: str = "auto",
    scratch: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> RadianceField:
    """Fit a signed-distance radiance field to posed views.

    Args:
        views: six posed views; depth and normals supervise the fit where they are given.
        grid: grid points along the longest side of the object's box.
        fine_grid: the same for a last, finer stage; 0 leaves it out.
        smoothness: ``exact`` for renders of one body, ``generated`` for a network's views, which
            do not quite agree; ``auto`` asks the views' provenance and, where that is ``given``,
            how well their outlines agree.
        photometric_weight: weight of colour agreement between the views.
        eikonal_weight: weight of |gradient| = 1.
        match_weight: weight of depths found by matching windows between the views.
        fog_steps: steps of a coarse density field that shows what is empty before the surface is
            fitted (:mod:`img2mesh.field.fog`); only where no depths are known. 0 leaves it out.
        normal_weight, depth_weight: weights of known normals and depths.
        relax_px: widen the outlines first by so many pixels; None takes half of what they are
            found to be misplaced by, and nothing from exact views.
        use_photo: use the input picture as one more view where its camera is known.
        seed: order of the rays. The same seed gives the same bytes.
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

    from img2mesh.field.disagreement import LIMIT_PX, misalignment
    from img2mesh.field.guess import with_guesses
    from img2mesh.field.loop import calm_torch, fit_field
    from img2mesh.field.losses import Weights
    from img2mesh.field.pictures import gather
    from img2mesh.field.schedule import stages
    from img2mesh.geometry.silhouettes import make_silhouettes, relaxed

    pictures = gather(views, use_photo=use_photo)
    outlines = make_silhouettes([p.view for p in pictures])
    if smoothness == "auto" or relax_px is None:
        # Not the photo's: an estimated camera is off by a degree, which says nothing of the views.
        misplaced = misalignment(outlines[: len(views.cameras)])
        doubtful = not views.provenance.exact or views.provenance.generator == "given"
        agreed = not doubtful or misplaced < LIMIT_PX
        if smoothness == "auto":
            smoothness = "exact" if agreed and views.provenance.exact else "generated"
        if relax_px is None:
            relax_px = 0.0 if agreed else min(misplaced, _MOST_MISPLACED) / 2
    relax_px = float(relax_px)
    if relax_px < 0:
        raise InputError(f"relax_px {relax_px} must be none or a number of pixels, 0 or more")
    if fog_steps < 0:
        raise InputError(f"fog_steps {fog_steps} must be 0 (off) or more")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device!r} was asked for, but torch sees no GPU: use auto or cpu")
    where = torch.device(device)
    outlines = relaxed(outlines, relax_px)
    if views.depth is None and normal_weight and depth_weight:
        with calm_torch():
            pictures = with_guesses(pictures, outlines, where)
    plan = stages(
        smoothness,
        grid=grid,
        fine_grid=fine_grid,
        photometric_weight=photometric_weight,
        known_depth=any(p.depth is not None for p in pictures),
    )
    return fit_field(
        views,
        pictures=pictures,
        outlines=outlines,
        plan=plan,
        weights=Weights(
            photometric_weight, eikonal_weight, depth_weight, normal_weight, match_weight
        ),
        fog_steps=fog_steps,
        use_photo=use_photo,
        relax_px=relax_px,
        seed=seed,
        device=where,
        scratch=scratch,
        progress=progress,
    )
