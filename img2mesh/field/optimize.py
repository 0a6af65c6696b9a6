"""The fit: from a visual hull, coarse to fine, to the field whose renders match the views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2mesh.artifacts import RadianceField
from img2mesh.errors import Img2MeshError
from img2mesh.field import checkpoint
from img2mesh.field.checkpoint import State
from img2mesh.field.density import carve_by_density
from img2mesh.field.exposure import estimate_exposure
from img2mesh.field.gather import pick
from img2mesh.field.grid import Sdf, blur, resample
from img2mesh.field.initial import initial_field
from img2mesh.field.lookup import DepthMaps
from img2mesh.field.losses import FieldView, RayBatch, Weights, curvature_gradient, slice_loss
from img2mesh.field.march import March, place_samples
from img2mesh.field.nerfacc_cuda import march_by_occupancy
from img2mesh.field.optimizer import MomentumStep
from img2mesh.field.parallel import calm_torch
from img2mesh.field.pictures import Observation
from img2mesh.field.rays import Rays, make_rays
from img2mesh.field.samples import Shell
from img2mesh.field.schedule import Level
from img2mesh.field.stereo.plane_sweep import match_on_planes
from img2mesh.field.stereo.ray_sweep import count_agreements, match_along_rays
from img2mesh.field.stereo.warp import cover_silhouettes, warp_to_matches
from img2mesh.field.volume_rendering import RENDERERS
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.silhouettes import Silhouette
from img2mesh.geometry.visual_hull import hull_values, tight_box

#: What a step of the density costs, in steps of the fit: for the progress bar.
_DENSITY_STEP = 0.25
#: Empty space around the hull, part of its longest side (specification).
_MARGIN = 0.05
#: Rounds of growing the first shape back under the masks after its warps; later levels take one.
_COVERING = 3
#: How much further inwards the first search looks: a hull lies outside.
_HULL_SEARCH = 4
#: Least correlation of a match. With the agreement of a second view, 80 to 90 % of the matches
#: above it lie within a voxel of the truth on textured objects, half of them within a quarter.
_LEAST_SCORE = 0.5
#: How far behind the present surface a flat top may lie, unit: seen at a slant, a hull's bulge of
#: a tenth is four times as long along the ray.
_PLANE_REACH = 0.5
#: Blur after upsampling, voxels: takes the coarse grid's facets away (specification).
_UPSAMPLING_BLUR = 0.8


@dataclass(frozen=True)
class Fit:
    """What stays the same from the first step of a fit to the last.

    Attributes:
        observations: the views and what is known about them.
        silhouettes: their contour distances, in the same order.
        floor: y below which there is nothing, or None.
        schedule: the levels, coarse to fine.
        weights: of the terms.
        density_steps: of the density field that carves the start; only where depths are unknown.
        seed: order of the rays.
        device: where the tensors live.
        renderer: whose functions render and, on CUDA, place the samples.
        scratch: folder for checkpoints; a fit that was killed resumes from there. None: no such.
        progress: called with the fraction done.
    """

    observations: Sequence[Observation]
    silhouettes: Sequence[Silhouette]
    floor: float | None
    schedule: Sequence[Level]
    weights: Weights
    density_steps: int
    seed: int
    device: torch.device
    renderer: str = "torch"
    scratch: Path | None = None
    progress: Callable[[float], None] | None = None

    @property
    def searches(self) -> bool:
        """Whether depths are looked for between the views, rather than known."""
        return self.weights.match > 0 and all(o.depth is None for o in self.observations)

    @property
    def march(self) -> March | None:
        """How samples are placed; None is the way of :mod:`img2mesh.field.march`."""
        by_nerfacc = self.renderer == "nerfacc" and self.device.type == "cuda"
        return march_by_occupancy if by_nerfacc else None

    @property
    def fingerprint(self) -> str:
        """Hash of everything the result depends on."""
        settings = (
            self.floor,
            list(self.schedule),
            self.weights,
            self.density_steps,
            self.seed,
            self.renderer,
        )
        return checkpoint.fingerprint(self.observations, self.silhouettes, settings)

    def tell(self, density: float, level: int = 0, step: int = 0) -> None:
        """Report progress: parts of the density fitted, and steps of a level taken."""
        if self.progress:
            clearing = _DENSITY_STEP * self.density_steps if self.searches else 0.0
            steps = [level.iterations for level in self.schedule]
            done = density * clearing + sum(steps[:level]) + step
            self.progress(done / (clearing + sum(steps)))


def optimize(fit: Fit) -> RadianceField:
    """Run the levels of a fit's schedule.

    Raises:
        Img2MeshError: the views contradict each other so much that no surface is left.
    """
    with calm_torch():
        key = fit.fingerprint if fit.scratch else ""
        state = checkpoint.load(fit.scratch, key, fit.device) if fit.scratch else None
        for number in range(state.level if state else 0, len(fit.schedule)):
            level = fit.schedule[number]
            rays = make_rays(
                fit.observations,
                fit.silhouettes,
                stride=level.stride,
                blur_px=level.image_blur_px,
                device=fit.device,
            )
            if state is None or state.level < number:
                state = _begin(fit, level, rays, state)
            for batch in _batches(fit, level, rays, state, key):
                steps = min(level.refresh, level.iterations - state.step)
                for some in islice(batch.slices(level.rays), steps):
                    _descend(fit, level, state, some)
                    fit.tell(1, number, state.step)
    assert state is not None
    values = state.sdf.values.cpu().numpy()
    if not (values < 0).any():
        raise Img2MeshError(
            "the fit ended without a surface: the views contradict each other; check that masks "
            "and cameras belong together"
        )
    sharpness = fit.schedule[-1].scale_end * state.unit
    return RadianceField(values, state.sdf.grid.origin, state.sdf.voxel, sharpness)


def _begin(fit: Fit, level: Level, rays: Rays, before: State | None) -> State:
    """The state before a level's first step: warped to matches, lost parts given back."""
    if before:
        grid = before.sdf.grid.refined(level.grid)
    else:
        grid = tight_box(fit.silhouettes, grid=level.grid, margin=_MARGIN, floor=fit.floor)
    warps = level.warps if fit.searches else ()
    hull = torch.empty(0)
    if warps or not before:
        hull = torch.as_tensor(
            hull_values(fit.silhouettes, grid, floor=fit.floor), device=fit.device
        )
    state = _finer(before, grid) if before else _first(fit, level, rays, Sdf(hull, grid))
    if rays.depth is not None:
        state.target_depth = rays.as_map(rays.depth, float("nan"))
        state.confidence = rays.as_map(rays.confidence, 1.0)
    for number, spread in enumerate(warps):
        further = 1 if before or number else _HULL_SEARCH
        surface = _match(fit, level, rays, state, inward=further * level.search)
        depth, confidence = pick(rays.pixel, state.target_depth, state.confidence)
        weight = fit.weights.match * confidence
        values = warp_to_matches(state.sdf, rays, surface, depth, weight, spread=spread)
        state.sdf = Sdf(torch.maximum(values, hull), grid)
    for _ in range(1 if before else _COVERING):
        surface = _surface(fit, state.sdf, rays)
        depth_inside = 0.25 * grid.voxel
        values = cover_silhouettes(state.sdf, rays, surface, spread=1.0, depth=depth_inside)
        state.sdf = Sdf(values, grid)
    return state


def _first(fit: Fit, level: Level, rays: Rays, hull: Sdf) -> State:
    """From the hull, carved by known depths or by what the views together show to be empty."""
    observations = fit.observations
    if fit.density_steps and fit.searches:
        observations = carve_by_density(
            observations,
            rays,
            hull,
            stride=level.stride,
            steps=fit.density_steps,
            progress=fit.tell,
        )
    values = initial_field(observations, hull.values.cpu().numpy(), hull.grid)
    sdf = Sdf(torch.as_tensor(values, device=fit.device), hull.grid)
    unknown = rays.as_map(torch.full_like(rays.alpha, float("nan")), float("nan"))
    momentum = MomentumStep(torch.zeros_like(sdf.values))
    return State(0, 0, sdf, momentum, _bounding_radius(sdf), unknown, torch.zeros_like(unknown))


def _finer(before: State, grid: Grid) -> State:
    values = blur(resample(before.sdf, grid), _UPSAMPLING_BLUR)
    momentum = MomentumStep(torch.zeros_like(values))
    return replace(
        before, level=before.level + 1, step=0, sdf=Sdf(values, grid), optimizer=momentum
    )


def _bounding_radius(sdf: Sdf) -> float:
    """Radius of the sphere around the middle of the inside's box: the fit's unit of length."""
    inside = torch.nonzero(sdf.values < 0).double() * sdf.voxel
    if not len(inside):
        return float(np.linalg.norm(np.array(sdf.grid.shape)) * sdf.voxel / 2)
    centre = (inside.amin(0) + inside.amax(0)) / 2
    return max(float((inside - centre).norm(dim=1).max()), sdf.voxel)


def _batches(fit: Fit, level: Level, rays: Rays, state: State, key: str) -> Iterator[RayBatch]:
    """Samples placed anew, as long as steps are left; depths are matched anew now and then."""
    while state.step < level.iterations:
        warped = state.step == 0 and level.warps
        if fit.searches and not warped and state.step % level.rematch == 0:
            _match(fit, level, rays, state, inward=level.search)
        if fit.scratch:
            checkpoint.save(state, fit.scratch, key)
        batch = _place(fit, level, rays, state)
        if not len(batch.rays):
            raise Img2MeshError(
                "the fit lost the surface: no ray of any view meets it; check masks and cameras"
            )
        yield batch


def _match(fit: Fit, level: Level, rays: Rays, state: State, *, inward: float) -> Tensor:
    """Set the state's target to what photo-consistency proposes; returns the surface's depths."""
    surface, voxel = _surface(fit, state.sdf, rays), state.sdf.voxel
    maps = DepthMaps.of(rays, surface, stride=max(2, level.stride))
    matches = match_along_rays(
        rays,
        surface,
        maps,
        outward=level.search * voxel,
        inward=inward * voxel,
        spacing=voxel / 2,
        minimum=_LEAST_SCORE,
    )
    agree = count_agreements(rays, matches.depth, stride=maps.stride, tolerance=voxel)
    score = matches.score * (agree > 0)
    plane_depth, plane_score = match_on_planes(
        rays, state.sdf, maps, planes=level.planes, reach=_PLANE_REACH * state.unit
    )
    flat = plane_score > score
    depth = torch.where(flat, plane_depth, matches.depth)
    confidence = torch.where(flat, plane_score, score * matches.distinct)
    state.target_depth = rays.as_map(depth, float("nan"))
    state.confidence = rays.as_map(confidence, 0.0)
    return surface


def _surface(fit: Fit, sdf: Sdf, rays: Rays) -> Tensor:
    """(r,) z-depth of the surface along every ray, inf where there is none."""
    shell = Shell(near=1.5 * sdf.voxel, behind=0.0)
    return place_samples(sdf, rays, shell, march=fit.march).surface


def _falling(start: float, end: float, level: Level, step: int) -> float:
    """Geometric interpolation over the steps of a level."""
    return float(start * (end / start) ** (step / max(1, level.iterations - 1)))


def _place(fit: Fit, level: Level, rays: Rays, state: State) -> RayBatch:
    """Shuffle the rays, sample all of them, and render the shape's depth maps on the way."""
    rng = np.random.default_rng([fit.seed, state.level, state.step])
    voxel = state.sdf.voxel
    scale = _falling(level.scale_start, level.scale_end, level, state.step) * state.unit
    shell = Shell(near=max(5 * scale, 1.5 * voxel), behind=max(2.5 * voxel, 2 * scale))
    rays = rays.take(torch.as_tensor(rng.permutation(len(rays)), device=fit.device))
    jitter = torch.as_tensor(rng.random(len(rays), dtype=np.float32), device=fit.device)
    samples = place_samples(state.sdf, rays, shell, jitter, fit.march)
    maps = DepthMaps.of(rays, samples.surface, level.stride)
    exposure = None
    if fit.weights.photometric:
        exposure = estimate_exposure(state.sdf, rays, samples.surface, maps)
    # Rays that come nowhere near the surface have no gradient: they would only dilute the slices.
    used, samples = samples.compact()
    rays = rays.take(used)
    target, confidence = pick(rays.pixel, state.target_depth, state.confidence)
    weight = fit.weights.match if fit.searches else fit.weights.depth
    return RayBatch(rays, samples, maps, exposure, target, weight * confidence)


def _descend(fit: Fit, level: Level, state: State, batch: RayBatch) -> None:
    """One step on the loss of some rays, and on the smoothness of the grid."""
    values, grid = state.sdf.values, state.sdf.grid
    scale = _falling(level.scale_start, level.scale_end, level, state.step) * state.unit
    field = FieldView(Sdf(values.requires_grad_(True), grid), scale, state.unit)
    weights = replace(fit.weights, photometric=level.photometric * fit.weights.photometric)
    loss = slice_loss(field, batch, weights, RENDERERS[fit.renderer])
    (gradient,) = torch.autograd.grad(loss, values)
    state.sdf = Sdf(values.detach(), grid)
    band = (state.sdf.values.abs() < 3 * grid.voxel).float()
    gradient += curvature_gradient(state.sdf, band).mul_(level.curvature)
    state.optimizer.step(
        state.sdf,
        gradient,
        band,
        blur_voxels=level.gradient_blur,
        length=_falling(level.step_start, level.step_end, level, state.step),
    )
    state.step += 1
