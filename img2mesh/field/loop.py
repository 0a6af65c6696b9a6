"""The fit: from a visual hull, coarse to fine, to the field whose renders match the views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.errors import Img2MeshError
from img2mesh.field import checkpoint
from img2mesh.field.checkpoint import State
from img2mesh.field.fog import carve_by_fog
from img2mesh.field.grid import blur, resample
from img2mesh.field.initial import initial_field
from img2mesh.field.leap import cover_masks, leap
from img2mesh.field.levels import propose_levels
from img2mesh.field.losses import Shape, Target, Weights, curvature_gradient, slice_loss
from img2mesh.field.matching import count_agreements, propose_depths
from img2mesh.field.pictures import Supervised
from img2mesh.field.rays import Rays, stage_rays
from img2mesh.field.sampling import Samples, place_samples
from img2mesh.field.schedule import Stage
from img2mesh.field.shading import Shading, estimate_shading
from img2mesh.field.steps import StepRule
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.silhouettes import Silhouette
from img2mesh.geometry.visual_hull import hull_values, tight_box

#: What a step of fog costs, in steps of the fit: for the progress bar.
_FOG_STEP = 0.25
#: Empty space around the hull's box, part of its longest side (specification).
_MARGIN = 0.05
#: Rounds of growing the shape back under the masks after leaps.
_COVERING = 3
#: Least correlation of a match. With the agreement of a second view, 80 to 90 % of the matches
#: above it lie within a voxel of the truth on textured objects, half of them within a quarter.
_LEAST_SCORE = 0.5
#: How far behind the present surface a flat top may lie, unit: seen at a slant, a hull's bulge of
#: a tenth is four times as long along the ray.
_LEVEL_REACH = 0.5
#: Blur after upsampling, voxels: takes the coarse grid's facets away (specification).
_UPSAMPLING_BLUR = 0.8


@dataclass(frozen=True)
class Placed:
    """The samples of some steps: rays in shuffled order, and the depth maps of the shape then."""

    rays: Rays
    samples: Samples
    depth_maps: Tensor
    target: Target
    shading: Shading | None


def fit_field(
    views: ViewSet,
    *,
    pictures: Sequence[Supervised],
    outlines: Sequence[Silhouette],
    plan: Sequence[Stage],
    weights: Weights,
    fog_steps: int,
    use_photo: bool,
    relax_px: float,
    seed: int,
    device: torch.device,
    scratch: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> RadianceField:
    """Run the stages of a plan; see :func:`img2mesh.field.fit` for what the arguments mean.

    Args:
        views: what the result depends on besides the settings: names the checkpoints.
        pictures: the same views, and what is known or guessed about them.
        outlines: their contour distances.
    """
    settings = [repr(plan), repr(weights), fog_steps, use_photo, relax_px, seed]
    key = checkpoint.fingerprint(views, {"settings": settings})
    with calm_torch():
        # Where depths are known or no photo-consistency is wanted, fog has nothing to say.
        foggy = weights.match > 0 and all(p.depth is None for p in pictures)
        fog_steps = fog_steps if foggy else 0
        clearing = _FOG_STEP * fog_steps
        total = clearing + sum(s.iterations for s in plan)
        told = (lambda part: progress(part * clearing / total)) if progress else None
        state = checkpoint.load(scratch, key, device) if scratch else None
        if state is None:
            state = _first_state(pictures, outlines, plan[0], fog_steps, device, told)
        while True:
            stage = plan[state.stage]
            before = clearing + sum(s.iterations for s in plan[: state.stage])
            rays = stage_rays(
                pictures,
                outlines,
                stride=stage.stride,
                blur_px=stage.image_blur_px,
                device=device,
            )
            if state.iteration < 0:
                _prepare(state, stage, rays, outlines, weights)
                state.iteration = 0
            if rays.depth is not None or not weights.match:
                state.goal = torch.full((len(rays.pictures.rgb),), float("nan"), device=device)
                state.trust = torch.full_like(state.goal, weights.depth)
                if rays.depth is not None:
                    state.goal[rays.pixel] = rays.depth
                    state.trust[rays.pixel] = weights.depth * rays.trust
            while state.iteration < stage.iterations:
                leapt = state.iteration == 0 and stage.leaps
                search = rays.depth is None and weights.match > 0 and not leapt
                if search and state.iteration % stage.rematch == 0:
                    _match(state, stage, rays, weights, stage.search)
                if scratch:
                    checkpoint.save(state, scratch, key)
                placed = _place(state, stage, rays, weights, seed)
                for _ in _steps(state, stage, placed, weights):
                    if progress:
                        progress((before + state.iteration) / total)
            if state.stage + 1 == len(plan):
                break
            state = _next_state(state, plan)
    values = state.field.cpu().numpy()
    if not (values < 0).any():
        raise Img2MeshError(
            "the fit ended without a surface: the views contradict each other; check that masks "
            "and cameras belong together"
        )
    sharpness = plan[-1].scale_end * state.unit
    return RadianceField(values, state.box.origin, state.box.voxel, sharpness)


@contextmanager
def calm_torch() -> Iterator[None]:
    """One torch thread and no denormals while fitting.

    The tensors are small: more threads mostly wait for each other, badly so on a busy machine, and
    reductions split over threads would make the bytes depend on their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def _first_state(
    pictures: Sequence[Supervised],
    outlines: Sequence[Silhouette],
    stage: Stage,
    fog_steps: int,
    device: torch.device,
    progress: Callable[[float], None] | None,
) -> State:
    box = tight_box(outlines, grid=stage.grid, margin=_MARGIN)
    hull = hull_values(outlines, box)
    if fog_steps:
        stride, blur_px = stage.stride, stage.image_blur_px
        rays = stage_rays(pictures, outlines, stride=stride, blur_px=blur_px, device=device)
        inside = torch.as_tensor(hull, device=device)
        pictures = carve_by_fog(
            pictures, rays, inside, box, stride=stride, steps=fog_steps, progress=progress
        )
    field = torch.as_tensor(initial_field(pictures, hull, box), device=device)
    nothing = torch.empty(0, device=device)
    rule = StepRule(torch.zeros_like(field))
    return State(0, -1, field, box, rule, _bounding_radius(field, box), nothing, nothing)


def _next_state(state: State, plan: Sequence[Stage]) -> State:
    box = state.box.refined(plan[state.stage + 1].grid)
    field = blur(resample(state.field, state.box, box), _UPSAMPLING_BLUR)
    rule = StepRule(torch.zeros_like(field))
    return replace(state, stage=state.stage + 1, iteration=-1, field=field, box=box, rule=rule)


def _bounding_radius(field: Tensor, box: Grid) -> float:
    """Radius of the sphere around the middle of the inside's box: the fit's unit of length."""
    inside = torch.nonzero(field < 0).double() * box.voxel
    if not len(inside):
        return float(np.linalg.norm(np.array(box.shape)) * box.voxel / 2)
    centre = (inside.amin(0) + inside.amax(0)) / 2
    return max(float((inside - centre).norm(dim=1).max()), box.voxel)


def _falling(start: float, end: float, state: State, stage: Stage) -> float:
    """Geometric interpolation over the iterations of a stage."""
    return float(start * (end / start) ** (state.iteration / max(1, stage.iterations - 1)))


def _prepare(
    state: State, stage: Stage, rays: Rays, outlines: Sequence[Silhouette], weights: Weights
) -> None:
    """What is done to the field before the steps of a stage: leaps, and lost parts given back."""
    hull = torch.as_tensor(hull_values(outlines, state.box), device=state.field.device)
    if rays.depth is None and weights.match:
        for number, spread in enumerate(stage.leaps):
            inward = stage.search * (4 if state.stage == 0 and number == 0 else 1)
            surface = _match(state, stage, rays, weights, inward)
            goal, trust = state.goal[rays.pixel], state.trust[rays.pixel]
            state.field = leap(state.field, state.box, rays, surface, goal, trust, spread=spread)
            state.field = torch.maximum(state.field, hull)
    for _ in range(_COVERING if state.stage == 0 else 1):
        surface, _ = _look(state, rays)
        state.field = cover_masks(
            state.field, state.box, rays, surface, spread=1.0, depth=0.25 * state.box.voxel
        )


def _match(state: State, stage: Stage, rays: Rays, weights: Weights, inward: float) -> Tensor:
    """Set the state's goal to what photo-consistency proposes; returns the surface's depths."""
    surface, maps = _look(state, rays)
    voxel, stride = state.box.voxel, max(2, stage.stride)
    depth, score, distinct = propose_depths(
        rays,
        surface,
        maps,
        stride=stride,
        outward=stage.search * voxel,
        inward=inward * voxel,
        spacing=voxel / 2,
        minimum=_LEAST_SCORE,
    )
    agree = count_agreements(rays, depth, stride=stride, tolerance=voxel)
    score = score * (agree > 0)
    level, level_score = propose_levels(
        rays,
        state.field,
        state.box,
        maps,
        planes=stage.planes,
        stride=stride,
        reach=_LEVEL_REACH * state.unit,
    )
    flat = level_score > score
    depth = torch.where(flat, level, depth)
    score = torch.where(flat, level_score, score * distinct)
    state.goal = torch.full_like(maps, float("nan"))
    state.trust = torch.zeros_like(maps)
    state.goal[rays.pixel] = depth
    state.trust[rays.pixel] = weights.match * score
    return surface


def _look(state: State, rays: Rays) -> tuple[Tensor, Tensor]:
    """Depth of the field's surface: along every ray, and at every pixel."""
    samples = place_samples(
        state.field,
        state.box,
        rays,
        near=1.5 * state.box.voxel,
        behind=0.0,
        jitter=torch.zeros(len(rays), device=state.field.device),
    )
    maps = torch.full((len(rays.pictures.rgb),), float("inf"), device=state.field.device)
    maps[rays.pixel] = samples.surface
    return samples.surface, maps


def _place(state: State, stage: Stage, rays: Rays, weights: Weights, seed: int) -> Placed:
    """Shuffle the rays, sample all of them, and render the shape's depth maps on the way."""
    rng = np.random.default_rng([seed, state.stage, state.iteration])
    device = state.field.device
    voxel = state.box.voxel
    scale = _falling(stage.scale_start, stage.scale_end, state, stage) * state.unit
    shuffled = rays.take(torch.as_tensor(rng.permutation(len(rays)), device=device))
    samples = place_samples(
        state.field,
        state.box,
        shuffled,
        near=max(5 * scale, 1.5 * voxel),
        behind=max(2.5 * voxel, 2 * scale),
        jitter=torch.as_tensor(rng.random(len(rays), dtype=np.float32), device=device),
    )
    maps = torch.full((len(rays.pictures.rgb),), float("inf"), device=device)
    maps[shuffled.pixel] = samples.surface
    shading = None
    if weights.photometric:
        shading = estimate_shading(
            state.field, state.box, shuffled, samples.surface, maps, stride=stage.stride
        )
    # Rays that come nowhere near the surface have no gradient: they would only dilute the slices.
    used, samples = samples.compact()
    some = shuffled.take(used)
    target = Target(state.goal[some.pixel], state.trust[some.pixel])
    return Placed(some, samples, maps, target, shading)


def _steps(state: State, stage: Stage, placed: Placed, weights: Weights) -> Iterator[None]:
    """The steps until samples are placed again; yields after each."""
    if not len(placed.rays):
        raise Img2MeshError(
            "the fit lost the surface: no ray of any view meets it; check masks and cameras"
        )
    weights = replace(weights, photometric=stage.photometric)
    last = min(stage.iterations, state.iteration + stage.refresh)
    cursor = 0
    voxel = state.box.voxel
    while state.iteration < last:
        end = min(cursor + stage.rays, len(placed.rays))
        shape = Shape(
            state.field.requires_grad_(True),
            state.box,
            _falling(stage.scale_start, stage.scale_end, state, stage) * state.unit,
            state.unit,
            placed.depth_maps,
            stage.stride,
            placed.shading,
        )
        loss = slice_loss(shape, placed.rays, placed.samples, placed.target, cursor, end, weights)
        (gradient,) = torch.autograd.grad(loss, state.field)
        state.field = state.field.detach()
        band = (state.field.abs() < 3 * voxel).float()
        gradient += curvature_gradient(state.field, band, voxel).mul_(stage.curvature)
        length = _falling(stage.step_start, stage.step_end, state, stage)
        state.rule.step(
            state.field,
            gradient,
            band,
            voxel=voxel,
            blur_voxels=stage.gradient_blur,
            length=length,
        )
        cursor = end if end < len(placed.rays) else 0
        state.iteration += 1
        yield
