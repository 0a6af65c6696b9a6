"""The loop: random cameras, renders, the guidance's gradient, and what keeps the field in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from img2mesh.core.cameras import Camera, look_at
from img2mesh.diffusion.distillation import Guidance, Reference, Step, require_gradient
from img2mesh.field.distillation import losses, memory
from img2mesh.field.distillation.memory import State
from img2mesh.field.distillation.optimizer import Moments
from img2mesh.field.distillation.recipe import Recipe
from img2mesh.field.distillation.voxels import Rendered, Voxels
from img2mesh.field.parallel import calm_torch

#: Samples along a ray, voxels: one, or half a one in a latent field, as published.
_SPACING, _SPACING_LATENT = 1.0, 0.5
#: How far the eye moves for the near view.
_NEAR = 0.05
#: Steps between two checkpoints.
_STORED = 25


def distil(
    guidance: Guidance,
    reference: Reference,
    recipe: Recipe,
    *,
    device: str = "cpu",
    scratch: Path | None = None,
    key: str = "",
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    start: Voxels | None = None,
) -> Voxels:
    """Pull a field into the shape that guidance and reference want.

    Args:
        guidance: what judges the renders.
        reference: the photo's object, which the input view is held to.
        recipe: the numbers.
        device: where the field lives.
        scratch: folder for checkpoints and previews; a run that was killed goes on from there.
        key: what else the result depends on (the guidance's weights), for the checkpoint.
        progress: called with the fraction done and what was drawn last.
        start: the field to begin with; a ball by default.

    Returns:
        The field on the CPU.

    Raises:
        InputError: the guidance returned no gradient of the renders' shape.
    """
    with calm_torch():
        return _Loop(guidance, reference, recipe, device, scratch, key, progress, start).run()


class _Loop:
    """One distillation."""

    def __init__(
        self,
        guidance: Guidance,
        reference: Reference,
        recipe: Recipe,
        device: str,
        scratch: Path | None,
        key: str,
        progress: Callable[[float, str], None],
        start: Voxels | None,
    ) -> None:
        self.guidance, self.reference, self.recipe = guidance, reference, recipe
        self.device, self.scratch, self.progress = torch.device(device), scratch, progress
        self.latent = guidance.latent
        self.background = guidance.background().to(self.device)
        self.start = start or Voxels.ball(
            recipe.grid,
            guidance.channels,
            radius=recipe.radius,
            spacing=_SPACING_LATENT if self.latent else _SPACING,
            latent=self.latent,
        )
        self.key = self._fingerprint(key)

    def run(self) -> Voxels:
        """All steps, from the last checkpoint if there is one."""
        state = None
        if self.scratch is not None:
            state = memory.load(self.scratch, self.key, self.device)
        if state is None:
            table = self.start.table.to(self.device).clone()
            state = State(0, table, Moments(torch.zeros_like(table), torch.zeros_like(table)), {})
        else:
            self.guidance.restore(state.guidance)
        steps, shown = self.recipe.steps, ""
        while state.step < steps:
            self._step(state)
            if self._due(state.step, self.recipe.preview_every):
                shown = self._preview(state)
            if self.scratch is not None and self._due(state.step, _STORED):
                state.guidance = self.guidance.state()
                memory.save(state, self.scratch, self.key)
            message = f"step {state.step} of {steps}"
            self.progress(state.step / steps, f"{message}, {shown}" if shown else message)
        return self._field(state.table).cpu()

    def _due(self, step: int, every: int) -> bool:
        return every > 0 and step % every == 0 and step < self.recipe.steps

    def _field(self, table: Tensor) -> Voxels:
        return Voxels(table, self.start.points, self.start.spacing, self.latent)

    def _step(self, state: State) -> None:
        recipe, step = self.recipe, Step(state.step, self.recipe.steps, self.recipe.seed)
        field = self._field(state.table.requires_grad_(True))
        side = recipe.resolution(state.step)
        draw = step.generator("cameras")
        cameras = [self._camera(draw, side) for _ in range(recipe.batch)]
        shifts = torch.rand(recipe.batch + 1, generator=draw).tolist()
        views = [self._see(field, c, s) for c, s in zip(cameras, shifts, strict=False)]
        renders = torch.stack([view.picture for view in views])
        loss = torch.zeros((), device=self.device)
        if recipe.weight_guidance:
            found = self.guidance.gradient(renders.detach(), cameras, self.reference, step)
            gradient = require_gradient(found, renders).to(renders)
            loss = loss + recipe.weight_guidance * (gradient * renders).sum() / len(renders)
        loss = loss + self._input_view(field, side, shifts[-1], step)
        loss = loss + self._regularisers(field, views, cameras, shifts, step)
        (slope,) = torch.autograd.grad(loss, state.table)
        state.table = state.table.detach()
        state.moments.step(state.table, slope, rate=recipe.rate, kind=recipe.optimiser)
        state.step += 1

    def _camera(self, draw: torch.Generator, side: int) -> Camera:
        recipe = self.recipe
        azimuth, height, further = (2 * torch.rand(3, generator=draw) - 1).tolist()
        low, high = recipe.elevations
        return Camera.orbit(
            180 * azimuth,
            (low + high) / 2 + (high - low) / 2 * height,
            distance=recipe.distance + recipe.jitter * further,
            fov_deg=recipe.fov_deg,
            width=side,
            height=side,
        )

    def _see(self, field: Voxels, camera: Camera, shift: float) -> Rendered:
        return field.render(camera, self.background, shift=min(shift, 0.999))

    def _input_view(self, field: Voxels, side: int, shift: float, step: Step) -> Tensor:
        """Colours and outline of the reference, seen from its own camera."""
        recipe, reference = self.recipe, self.reference
        total = torch.zeros((), device=self.device)
        if not (recipe.weight_input or recipe.weight_mask):
            return total
        view = self._see(field, reference.camera.resized(side, side), shift)
        if recipe.weight_input:
            picture = self.guidance.to_rgb(view.picture[None])[0]
            wanted = _shrunk(reference.rgb.permute(2, 0, 1), picture.shape[1:]).to(picture)
            total = total + recipe.weight_input * (picture - wanted).square().mean()
        if recipe.weight_mask:
            wanted = _shrunk(reference.alpha[None], view.opacity.shape)[0].to(self.device)
            total = total + recipe.weight_mask * (view.opacity - wanted).square().mean()
        if recipe.weight_depth_smooth:
            smooth = losses.depth_smoothness(view.depth)
            total = total + 0.1 * recipe.weight_depth_smooth * smooth
        return total

    def _regularisers(
        self,
        field: Voxels,
        views: list[Rendered],
        cameras: list[Camera],
        shifts: list[float],
        step: Step,
    ) -> Tensor:
        recipe, total = self.recipe, torch.zeros((), device=self.device)
        for view, camera, shift in zip(views, cameras, shifts, strict=False):
            if recipe.weight_depth_smooth and step.share >= 0.5:
                total = total + recipe.weight_depth_smooth * losses.depth_smoothness(view.depth)
            if recipe.weight_near:
                near = self._see(field, self._beside(camera, step), shift)
                total = total + recipe.weight_near * losses.near_view(
                    view.picture, near.picture, view.depth, near.depth
                )
            if recipe.weight_empty:
                total = total + recipe.weight_empty * losses.emptiness(
                    view.weights, share=step.share
                )
            if recipe.weight_sparse:
                total = total + recipe.weight_sparse * losses.sparsity(view.opacity)
            if recipe.weight_opaque:
                total = total + recipe.weight_opaque * losses.opaque(view.opacity)
        total = total / len(views)
        if recipe.weight_rough:
            total = total + recipe.weight_rough * losses.roughness(field.absorbed())
        return total

    def _beside(self, camera: Camera, step: Step) -> Camera:
        """The same camera, its eye moved by a random vector of length :data:`_NEAR`."""
        away = torch.randn(3, generator=step.generator("near"), dtype=torch.float64)
        eye = camera.origin + _NEAR * (away / away.norm()).numpy()
        pose = look_at(eye, [0.0, 0.0, 0.0])
        return Camera(pose, camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)

    def _preview(self, state: State) -> str:
        """Draw the reference's view and three around it; says where."""
        if self.scratch is None:
            return ""
        from PIL import Image

        recipe, field = self.recipe, self._field(state.table.detach())
        own = self.reference.camera.resized(128, 128)
        around = [
            Camera.orbit(a, 15, distance=recipe.distance, fov_deg=recipe.fov_deg, width=128,
                         height=128) for a in (90, 180, 270)
        ]  # fmt: skip
        with torch.no_grad():
            seen = [self._see(field, c, 0.5).picture for c in (own, *around)]
            rgb = self.guidance.to_rgb(torch.stack(seen)).clamp(0, 1)
        row = torch.cat(list(rgb.cpu()), dim=2).permute(1, 2, 0)
        path = self.scratch / f"preview_{state.step:05d}.png"
        self.scratch.mkdir(parents=True, exist_ok=True)
        Image.fromarray((row * 255).round().byte().numpy()).save(path)
        return f"preview: {path}"

    def _fingerprint(self, key: str) -> str:
        digest = hashlib.sha256(f"{key}{self.recipe!r}{self.reference.camera!r}".encode())
        for tensor in (self.reference.rgb, self.reference.alpha, self.start.table):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def _shrunk(picture: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """(c, h', w') by the area of the pixels."""
    return torch.nn.functional.interpolate(picture[None], tuple(shape), mode="area")[0]
