"""Zero-1-to-3: one picture and a camera move in, the picture from there out (arXiv 2303.11328).

The networks are stock Stable Diffusion 1 parts. The input's VAE latents are appended to the noisy
ones as they are (posterior mean, *not* scaled), and its CLIP embedding with the camera vector makes
the one context token. All randomness comes from one noise source; draws, in order:
``init_latents``, then ``step`` for every step where eta > 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from img2mesh.diffusion import checkpoints, guidance, samplers
from img2mesh.diffusion.checkpoints import Fourth
from img2mesh.diffusion.noise import KeyedNoise, NoiseSource, drawn
from img2mesh.diffusion.schedules import timesteps
from img2mesh.diffusion.shared_attention import shared
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.multiview.zero123 import preprocess
from img2mesh.multiview.zero123.camera import camera_vectors
from img2mesh.multiview.zero123.components import Components
from img2mesh.multiview.zero123.loading import load_components
from img2mesh.multiview.zero123plus.preprocess import Picture

Observe = Callable[[str, Any], None]


@dataclass(frozen=True)
class Sample:
    """What a run hands back.

    Attributes:
        latents: (n, c, h / f, w / f) float32 on the CPU, as the sampler leaves them (scaled).
        images: (n, h, w, 3) float32 in [0, 1]; sample j of pose b is number b k + j, where k is
            the samples a pose.
    """

    latents: torch.Tensor
    images: NDArray[np.float32]


@dataclass(frozen=True)
class Conditioning:
    """What the network knows of the input pictures, encoded once.

    Attributes:
        latents: (b, c, h / f, w / f) posterior mean of the VAE, unscaled.
        embeds: (b, d) CLIP image embedding, projected, not normalised.
    """

    latents: torch.Tensor
    embeds: torch.Tensor

    def repeated(self, count: int) -> Conditioning:
        """The same for ``count`` poses, where there is one picture for all."""
        if len(self.latents) == count:
            return self
        return Conditioning(self.latents.expand(count, -1, -1, -1), self.embeds.expand(count, -1))


class Zero123:
    """A loaded checkpoint.

    Args:
        components: the parts, on the CPU.
        fourth: what the camera vector's last component means: a fact of the checkpoint.
        device: where it works.
        low_memory: have a part on the device only while it works.
    """

    def __init__(
        self,
        components: Components,
        *,
        fourth: Fourth = "radius",
        device: str | torch.device = "cpu",
        low_memory: bool = False,
    ) -> None:
        self.parts, self.fourth = components, fourth
        self.device, self.low_memory = torch.device(device), low_memory
        self.alphas = components.training.alphas_cumprod()
        if not low_memory:
            for module in self._modules():
                module.to(self.device)

    @classmethod
    def load(
        cls,
        folder_or_name: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        fourth: Fourth | None = None,
        lora: Path | None = None,
        low_memory: bool = False,
    ) -> Zero123:
        """Load a local folder (either layout), an original ``.ckpt``, or a fetched checkpoint.

        Args:
            folder_or_name: the checkpoint. Nothing is downloaded.
            device: a torch device.
            dtype: of the weights; float32 on the CPU.
            fourth: ``radius`` or ``cond_polar``; by default what the checkpoint's record says.
            lora: an adapter to add, see :mod:`img2mesh.diffusion.adapters`.
            low_memory: have a part on the device only while it works.

        Raises:
            InputError: not there (says how to fetch it), or not what it should be.
        """
        found = checkpoints.locate(folder_or_name)
        parts = load_components(found.folder, dtype=dtype, lora=lora)
        camera = fourth or found.record.camera
        return cls(parts, fourth=camera, device=device, low_memory=low_memory)

    @property
    def size(self) -> int:
        """Side of a picture as trained, pixels: 256 for the published checkpoints."""
        return self.parts.size

    @torch.inference_mode()
    def sample(
        self,
        images: Picture | Sequence[Picture],
        elevations_deg: float | Sequence[float],
        azimuths_deg: float | Sequence[float],
        distances: float | Sequence[float] = 0.0,
        steps: int = 50,
        guidance_scale: float = 3.0,
        eta: float = 0.0,
        images_per_prompt: int = 1,
        width: int = 256,
        height: int = 256,
        noise: NoiseSource | None = None,
        *,
        seed: int = 42,
        input_elevation_deg: float = 0.0,
        share_attention: bool = False,
        observe: Observe | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Sample:
        """Draw the object from other cameras.

        Args:
            images: one picture for all poses, or one a pose: RGB, or RGBA, which is blended onto
                white; resized to width x height if need be. The object should be centred, its
                longest side about 200 of 256 pixels (:func:`img2mesh.imaging.framing.framed`).
            elevations_deg, azimuths_deg, distances: changes from the input view, one a pose;
                see :func:`.camera.camera_vectors` for signs and units.
            steps: DDIM steps.
            guidance_scale: classifier-free guidance; off at 1 and below.
            eta: 0 deterministic, 1 as random as ancestral sampling (the original demo).
            images_per_prompt: samples a pose, k.
            width, height: of a picture, pixels; multiples of the VAE's factor.
            noise: where all randomness comes from; ``KeyedNoise(seed)`` by default.
            seed: of the default source.
            input_elevation_deg: absolute, of the input; only ``cond_polar`` checkpoints see it.
            share_attention: let all poses share self-attention (one picture for all poses).
            observe: told (name, value) of every intermediate, for parity checks.
            progress: told the fraction done.

        Raises:
            InputError: a size, step count, pose or number of pictures that cannot be worked with.
        """
        see, tell = observe or _ignore, progress or _silent
        source = KeyedNoise(seed) if noise is None else noise
        vectors = camera_vectors(
            _listed(elevations_deg),
            _listed(azimuths_deg),
            _listed(distances, len(_listed(elevations_deg))),
            fourth=self.fourth,
            input_elevation_deg=input_elevation_deg,
        )
        poses, n = len(vectors), int(images_per_prompt)
        single = isinstance(images, Image.Image | str | Path | np.ndarray)
        pictures: Sequence[Any] = [images] if single else cast(Sequence[Any], images)
        self._check(width, height, n, eta, len(pictures), poses, share_attention)
        known = self.encode(pictures, width, height, observe=see).repeated(poses)
        guided = guidance.is_guided(guidance_scale)
        shape = (poses * n, *known.latents.shape[1:])
        latents = drawn(source, "init_latents", None, shape, self.device)
        sharing = shared(self.parts.unet, views=poses, samples=n) if share_attention else None
        with self._working(self.parts.unet, self.parts.projection), sharing or nullcontext():
            context, tail = self._conditions(known, vectors, n, guided)
            see("camera_embedding", vectors[:, None])
            see("encoder_hidden_states", context)
            see("image_latents_8ch_tail", tail)
            visited = timesteps(steps, self.parts.training, "leading").astype(int)
            see("timesteps", torch.from_numpy(visited))
            stride = self.parts.training.train_steps // steps
            for i, t in enumerate(visited.tolist()):
                output = self._unet(guidance.double(latents, guided), tail, t, context, see)
                alpha = float(self.alphas[t])
                before = t - stride
                following = float(self.alphas[before]) if before >= 0 else self.parts.final_alpha
                fresh = drawn(source, "step", i, shape, self.device) if eta > 0 else None
                guided_output = guidance.guide(output, guidance_scale)
                latents = samplers.ddim_step(
                    latents, guided_output, fresh, alpha, following, eta=eta
                )
                see("latents", latents)
                tell((i + 1) / len(visited))
        return Sample(latents.cpu(), self.decode(latents))

    def encode(
        self,
        images: Sequence[Picture],
        width: int,
        height: int,
        *,
        observe: Observe | None = None,
    ) -> Conditioning:
        """What both image branches make of pictures, (b,) each."""
        parts, see = self.parts, observe or _ignore
        pictures = [preprocess.on_white(one, width, height) for one in images]
        pixels = preprocess.pixels(pictures).to(self.device)
        if parts.processor is None:
            for_clip = preprocess.clip_pixels(pixels, parts.image_encoder.config.image_size)
        else:
            for_clip = torch.cat([parts.processor(one) for one in pictures])
        see("clip_pixel_values", for_clip)
        with torch.no_grad(), self._working(parts.vae):
            vae = parts.vae
            latents = vae.encode(pixels.to(vae.dtype)).latent_dist.mode().float()
        with torch.no_grad(), self._working(parts.image_encoder):
            tower = parts.image_encoder
            embeds = tower(for_clip.to(self.device, tower.dtype)).image_embeds.float()
        see("clip_image_embeds", embeds)
        return Conditioning(latents, embeds)

    def context(self, embeds: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """(b, 1, d) context tokens of embeddings (b, d) and camera vectors (b, 4)."""
        joined = torch.cat([embeds, vectors.to(embeds)], dim=-1)
        projection = self.parts.projection
        with torch.no_grad():
            return projection(joined.to(projection.weight.dtype)).float()[:, None]

    def noise_prediction(
        self,
        noisy: torch.Tensor,
        timestep: int,
        known: Conditioning,
        vectors: torch.Tensor,
        *,
        guidance_scale: float,
    ) -> torch.Tensor:
        """Guided noise prediction, for score distillation; no gradient flows through it.

        Args:
            noisy: (b, c, h, w) latents ``sqrt(alpha) z + sqrt(1 - alpha) noise``.
            timestep: of the training process.
            known: one picture for all rows, or one a row.
            vectors: (b, 4) camera vectors.
            guidance_scale: classifier-free guidance; off at 1 and below.

        Returns:
            (b, c, h, w) float32.
        """
        known, guided = known.repeated(len(noisy)), guidance.is_guided(guidance_scale)
        with torch.no_grad(), self._working(self.parts.unet, self.parts.projection):
            context, tail = self._conditions(known, vectors, 1, guided)
            rows = guidance.double(noisy.detach(), guided)
            return guidance.guide(self._unet(rows, tail, timestep, context), guidance_scale)

    def unguided(
        self, noisy: torch.Tensor, timestep: int, known: Conditioning, vectors: torch.Tensor
    ) -> torch.Tensor:
        """Noise prediction at scale 1 through which a gradient flows, for training additions."""
        with self._working(self.parts.unet, self.parts.projection):
            context, tail = self._conditions(known.repeated(len(noisy)), vectors, 1, False)
            return self._unet(noisy, tail, timestep, context)

    def decode(self, latents: torch.Tensor) -> NDArray[np.float32]:
        """(n, h, w, 3) float32 in [0, 1] of scaled latents (n, c, h / f, w / f).

        Raises:
            Img2MeshError: the pictures are not finite numbers.
        """
        vae = self.parts.vae
        with torch.no_grad(), self._working(vae):
            plain = (latents.to(self.device) / vae.config.scaling_factor).to(vae.dtype)
            pictures = torch.cat([vae.decode(one[None], return_dict=False)[0] for one in plain])
        if not torch.isfinite(pictures).all():
            raise Img2MeshError(
                "the decoded views are not finite numbers: the checkpoint does not work in "
                f"{str(vae.dtype).removeprefix('torch.')}, or its weights are damaged; verify it "
                "with `img2mesh models verify`, or draw on the CPU"
            )
        return (pictures.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()

    def _conditions(
        self, known: Conditioning, vectors: torch.Tensor, count: int, guided: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Context and condition latents of all rows, ``count`` a pose, the negative ones first.

        Those have zeros for a token, *after* the projection, so that neither its bias nor the
        camera survives, and zeros for latents.
        """
        context = self.context(known.embeds, vectors).repeat_interleave(count, dim=0)
        tail = known.latents.repeat_interleave(count, dim=0)
        if not guided:
            return context, tail
        return (
            torch.cat([torch.zeros_like(context), context]),
            torch.cat([torch.zeros_like(tail), tail]),
        )

    def _unet(
        self,
        rows: torch.Tensor,
        tail: torch.Tensor,
        timestep: int,
        context: torch.Tensor,
        see: Observe = lambda name, value: None,
    ) -> torch.Tensor:
        unet = self.parts.unet
        joined = torch.cat([rows, tail], dim=1)
        see("unet_in", joined)
        time = torch.tensor(timestep, device=joined.device)
        output = unet(joined.to(unet.dtype), time, context.to(unet.dtype), return_dict=False)[0]
        see("unet_out", output.float())
        return output.float()

    def _check(
        self, width: int, height: int, n: int, eta: float, pictures: int, poses: int, sharing: bool
    ) -> None:
        factor = self.parts.vae_factor
        if min(width, height) < factor or width % factor or height % factor:
            raise InputError(
                f"pictures of {width}x{height} pixels were asked for; both must be positive "
                f"multiples of {factor}"
            )
        if n < 1:
            raise InputError(f"images_per_prompt must be at least 1, got {n}")
        if not 0 <= eta <= 1:
            raise InputError(f"eta must lie in 0..1, got {eta}")
        if pictures not in (1, poses):
            raise InputError(f"{pictures} pictures came with {poses} poses; give one, or one each")
        if sharing and pictures != 1:
            raise InputError("attention is shared between views of one object: give one picture")

    def _modules(self) -> tuple[Any, ...]:
        parts = self.parts
        return parts.unet, parts.vae, parts.image_encoder, parts.projection

    @contextmanager
    def _working(self, *modules: Any) -> Iterator[None]:
        """Have modules on the device while they work, when the others are offloaded."""
        for module in modules if self.low_memory else ():
            module.to(self.device)
        try:
            yield
        finally:
            for module in modules if self.low_memory else ():
                module.to("cpu")


def _listed(values: float | Sequence[float], count: int = 1) -> list[float]:
    """Numbers as a list; one number stands for ``count`` of them."""
    if isinstance(values, int | float):
        return [float(values)] * count
    return [float(v) for v in values]


def _ignore(name: str, value: Any) -> None:
    """Observe nothing."""


def _silent(fraction: float) -> None:
    """Report no progress."""
