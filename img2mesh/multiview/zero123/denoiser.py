"""Zero-1-to-3 as a judge of renders: the denoiser of score distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from img2mesh.core.cameras import Camera
from img2mesh.diffusion.distillation import Reference
from img2mesh.diffusion.lora import Lora, adam_state, restore_adam
from img2mesh.multiview.zero123.camera import camera_vectors, moves_between
from img2mesh.multiview.zero123.model import Conditioning, Zero123


class Zero123Denoiser:
    """See :class:`img2mesh.diffusion.distillation.Denoiser`.

    Args:
        model: the loaded checkpoint.
    """

    def __init__(self, model: Zero123) -> None:
        self.model, self.training = model, model.parts.training
        self.channels = int(model.parts.vae.config.latent_channels)
        self._known: tuple[Reference, Conditioning] | None = None

    def encode(self, renders: torch.Tensor, draw: torch.Generator | None = None) -> torch.Tensor:
        """(b, c, h', w') latents of the posterior times the scaling factor, at the model's size."""
        vae, size = self.model.parts.vae, self.model.size
        if renders.shape[-2:] != (size, size):
            renders = torch.nn.functional.interpolate(
                renders, (size, size), mode="bilinear", align_corners=False
            )
        pixels = (renders.to(self.model.device) * 2 - 1).to(vae.dtype)
        posterior = vae.encode(pixels).latent_dist
        latents = posterior.mode().float()
        if draw is not None:
            noise = torch.randn(latents.shape, generator=draw).to(latents)
            latents = latents + posterior.std.float() * noise
        return latents * vae.config.scaling_factor

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(b, 3, h, w) in [0, 1], not clamped: a gradient may flow."""
        vae = self.model.parts.vae
        plain = latents.to(self.model.device, vae.dtype) / vae.config.scaling_factor
        return vae.decode(plain, return_dict=False)[0].float() / 2 + 0.5

    def white(self) -> torch.Tensor:
        """(c,) mean latent of white."""
        size = self.model.size
        with torch.no_grad():
            return self.encode(torch.ones(1, 3, size, size)).mean(dim=(0, 2, 3)).cpu()

    def predict(
        self,
        noisy: torch.Tensor,
        timestep: int,
        cameras: Sequence[Camera],
        reference: Reference,
        *,
        scale: float,
    ) -> torch.Tensor:
        """Guided noise prediction for views from cameras."""
        vectors = self.vectors(cameras, reference)
        return self.model.noise_prediction(
            noisy, timestep, self.known(reference), vectors, guidance_scale=scale
        )

    def adapt(self, rate: float) -> Zero123Adaptation:
        """A copy with its own low-rank weights, for VSD."""
        return Zero123Adaptation(self, rate)

    def known(self, reference: Reference) -> Conditioning:
        """The reference, encoded once."""
        if self._known is None or self._known[0] is not reference:
            size = self.model.size
            pixels = (reference.rgb.numpy() * 255).round().astype("uint8")
            self._known = reference, self.model.encode([pixels], size, size)
        return self._known[1]

    def vectors(self, cameras: Sequence[Camera], reference: Reference) -> torch.Tensor:
        """(b, 4) camera vectors of the moves from the reference's camera."""
        at = [[c.origin[i] for i in (2, 0, 1)] for c in (reference.camera, *cameras)]  # to z-up
        origins = torch.tensor(at, dtype=torch.float64).numpy()
        elevations, azimuths, distances = moves_between(origins[0], origins[1:])
        polar = self.model.fourth == "cond_polar"
        own = moves_between(origins[0] * 0 + [1.0, 0, 0], origins[0])[0]
        return camera_vectors(
            elevations.tolist(),
            azimuths.tolist(),
            [0.0] * len(cameras) if polar else distances.tolist(),
            fourth=self.model.fourth,
            input_elevation_deg=float(own),
        )


class Zero123Adaptation:
    """The model with low-rank weights that learn what the renders look like.

    Args:
        base: the model; its own weights never change.
        rate: of Adam.
    """

    def __init__(self, base: Zero123Denoiser, rate: float) -> None:
        self.base = base
        self.lora = Lora(base.model.parts.unet, camera=4)
        self._names = [name for name, _ in self.lora.named_parameters()]
        self._adam = torch.optim.Adam(self.lora.parameters(), lr=rate)

    def predict(
        self,
        noisy: torch.Tensor,
        timestep: int,
        cameras: Sequence[Camera],
        reference: Reference,
    ) -> torch.Tensor:
        """Noise prediction at scale 1."""
        vectors = self.base.vectors(cameras, reference)
        with self.lora.active(vectors):
            return self.base.model.noise_prediction(
                noisy, timestep, self.base.known(reference), vectors, guidance_scale=1.0
            )

    def learn(
        self,
        noisy: torch.Tensor,
        noise: torch.Tensor,
        timestep: int,
        cameras: Sequence[Camera],
        reference: Reference,
    ) -> float:
        """One step of Adam on the mean squared error of the noise."""
        vectors = self.base.vectors(cameras, reference)
        with self.lora.active(vectors), torch.enable_grad():
            predicted = self.base.model.unguided(
                noisy, timestep, self.base.known(reference), vectors
            )
            loss = (predicted - noise).square().mean()
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()
        return float(loss.detach())

    def state(self) -> dict[str, torch.Tensor]:
        """Weights and the optimiser's memory."""
        weights = {k: v.detach().clone() for k, v in self.lora.state_dict().items()}
        return weights | adam_state(self._adam, self._names)

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a :meth:`state`."""
        self.lora.load_state_dict({k: state[k] for k in self._names})
        restore_adam(self._adam, self._names, state)
