"""A render drawn again by Zero-1-to-3, which knows the photo and how the camera moved."""

from __future__ import annotations

import numpy as np
import torch

from img2mesh.artifacts import View
from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.diffusion import samplers
from img2mesh.diffusion.pictures import at_size, visited_steps
from img2mesh.diffusion.schedules import timesteps
from img2mesh.errors import InputError
from img2mesh.imaging.framing import framed
from img2mesh.multiview.zero123.camera import camera_vectors
from img2mesh.multiview.zero123.denoiser import Zero123Denoiser
from img2mesh.multiview.zero123.model import Zero123


class Redrawer:
    """See :class:`img2mesh.diffusion.pictures.Redraw`.

    Args:
        model: the loaded checkpoint.
        photo: the object and its camera.
        steps: DDIM steps of a whole picture.
        guidance_scale: classifier-free guidance.

    Raises:
        InputError: the photo has no camera.
    """

    def __init__(self, model: Zero123, photo: View, *, steps: int, guidance_scale: float) -> None:
        if photo.camera is None:
            raise InputError("Zero-1-to-3 draws by the photo's camera, which is not known here")
        self.model, self.steps, self.scale = model, steps, guidance_scale
        self.own = _angles(photo.camera)
        size = model.size
        self.known = model.encode([framed(photo.rgb, photo.alpha, size)], size, size)

    def __call__(self, picture: F32, camera: Camera, /, *, strength: float, seed: int) -> F32:
        """Noise the render's latents, and denoise them as a view from the camera."""
        model, training = self.model, self.model.parts.training
        visited = visited_steps(self.steps, strength)
        if visited == 0:
            return picture
        elevation, azimuth = (b - a for a, b in zip(self.own, _angles(camera), strict=True))
        vectors = camera_vectors(
            [elevation], [azimuth], [0.0], fourth=model.fourth, input_elevation_deg=self.own[0]
        )
        draw = torch.Generator("cpu").manual_seed(seed)
        with torch.no_grad():
            pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
            latents = Zero123Denoiser(model).encode(pixels, draw)
        levels = timesteps(self.steps, training, "leading").astype(int)[-visited:].tolist()
        alpha, stride = float(model.alphas[levels[0]]), training.train_steps // self.steps
        noise = torch.randn(latents.shape, generator=draw).to(latents)
        latents = alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise
        for level in levels:
            predicted = model.noise_prediction(
                latents, level, self.known, vectors, guidance_scale=self.scale
            )
            before = level - stride
            following = float(model.alphas[before]) if before >= 0 else model.parts.final_alpha
            latents = samplers.ddim_step(
                latents, predicted, None, float(model.alphas[level]), following, eta=0.0
            )
        drawn = model.decode(latents)[0]
        height, width = picture.shape[:2]
        return at_size(drawn, width=width, height=height)


def _angles(camera: Camera) -> tuple[float, float]:
    """Elevation and azimuth (degrees) of the side that a camera looks from."""
    x, y, z = -camera.forward
    return float(np.rad2deg(np.arcsin(np.clip(y, -1, 1)))), float(np.rad2deg(np.arctan2(x, z)))
