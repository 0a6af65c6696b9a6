"""A diffusion model that knows one object: the exact posterior around renders of it.

Its data are pictures of a known mesh with painted colours, each blurred by a little Gaussian noise;
the noise prediction of such a model is a closed form. What score distillation makes of it can be
held against the object itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import trimesh

from img2mesh.core.cameras import Camera
from img2mesh.diffusion.distillation import Reference
from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.geometry.raycast import Scene

#: Standard deviation of the data around a render, in [-1, 1].
SPREAD = 0.05


def toy_mesh() -> trimesh.Trimesh:
    """A bowl of a torus on a box with a ball beside: holes, edges and no symmetry."""
    torus = trimesh.creation.torus(0.42, 0.16, major_sections=48, minor_sections=24)
    box = trimesh.creation.box((0.5, 0.4, 0.3))
    box.apply_translation((0.1, 0.0, -0.32))
    ball = trimesh.creation.icosphere(3, 0.22)
    ball.apply_translation((-0.35, 0.2, 0.25))
    whole = trimesh.util.concatenate([torus, box, ball])
    whole.apply_transform(trimesh.transformations.rotation_matrix(-1.2, (1, 0.2, 0)))
    return whole


def paint(points: np.ndarray) -> np.ndarray:
    """(n, 3) colours in [0, 1] of surface points (n, 3): smooth, and different everywhere."""
    x, y, z = points.T
    return np.stack([0.5 + 0.35 * np.sin(4 * x), 0.45 + 0.3 * y, 0.4 + 0.3 * np.cos(5 * z)], axis=1)


class KnownObject:
    """A mesh that can be looked at.

    Args:
        mesh: around the origin, within radius 1.
        colours: of surface points.
    """

    def __init__(
        self,
        mesh: trimesh.Trimesh | None = None,
        colours: Callable[[np.ndarray], np.ndarray] = paint,
    ) -> None:
        mesh = mesh or toy_mesh()
        self.scene = Scene(np.asarray(mesh.vertices), np.asarray(mesh.faces))
        self.colours = colours

    def see(self, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
        """(3, h, w) on white and (h, w) alpha, four samples a pixel."""
        fine = camera.resized(2 * camera.width, 2 * camera.height)
        depth = self.scene.look(fine).depth
        hit = np.isfinite(depth)
        rgb = np.ones((*depth.shape, 3))
        points = fine.origin + depth[hit][:, None] * fine.directions()[hit]
        rgb[hit] = self.colours(points)
        shape = (camera.height, 2, camera.width, 2)
        mean = rgb.reshape(*shape, 3).mean(axis=(1, 3)), hit.reshape(shape).mean(axis=(1, 3))
        return torch.from_numpy(mean[0]).float().permute(2, 0, 1), torch.from_numpy(mean[1]).float()

    def reference(self, camera: Camera) -> Reference:
        """What a photo from that camera is."""
        rgb, alpha = self.see(camera)
        return Reference(rgb.permute(1, 2, 0), alpha, camera)


class AnalyticDenoiser:
    """The exact model of renders of one object; its latents are pictures in [-1, 1]."""

    channels = 3

    def __init__(self, known: KnownObject) -> None:
        self.known = known
        self.training = TrainingSchedule(beta_schedule="scaled_linear", prediction="epsilon")
        self.alphas = self.training.alphas_cumprod()
        self.present = torch.empty(0)

    def encode(self, renders: torch.Tensor, draw: torch.Generator | None = None) -> torch.Tensor:
        self.present = 2 * renders.detach() - 1
        return 2 * renders - 1

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents + 1) / 2

    def white(self) -> torch.Tensor:
        return torch.ones(3)

    def predict(
        self,
        noisy: torch.Tensor,
        timestep: int,
        cameras: Sequence[Camera],
        reference: Reference,
        *,
        scale: float,
    ) -> torch.Tensor:
        clean = torch.stack([2 * self.known.see(camera)[0] - 1 for camera in cameras])
        return self.posterior(noisy, timestep, clean)

    def posterior(self, noisy: torch.Tensor, timestep: int, clean: torch.Tensor) -> torch.Tensor:
        """Expected noise where the data are Gaussian around ``clean``."""
        alpha = float(self.alphas[timestep])
        share = (1 - alpha) ** 0.5 / (alpha * SPREAD**2 + 1 - alpha)
        return share * (noisy - alpha**0.5 * clean)

    def adapt(self, rate: float) -> Any:
        return ExactAdaptation(self)


class ExactAdaptation:
    """A copy that always knows what the present renders look like."""

    def __init__(self, denoiser: AnalyticDenoiser) -> None:
        self.denoiser = denoiser

    def predict(self, noisy: torch.Tensor, timestep: int, *rest: Any) -> torch.Tensor:
        return self.denoiser.posterior(noisy, timestep, self.denoiser.present)

    def learn(self, *rest: Any) -> float:
        return 0.0

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        return None
