"""Zero123++: one picture in, a 3x2 sheet of six views out (arXiv 2310.15110).

The networks are stock Stable Diffusion parts; the method is how data flows between them. All
randomness comes from one noise source. Draws, in order: ``vae_cond``, ``vae_negative`` (guided
only), ``init_latents``, then ``reference`` and, with the Euler-ancestral solver, ``ancestral`` for
every step, the last included.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from img2mesh.diffusion import checkpoints, guidance, reference_attention
from img2mesh.diffusion.noise import KeyedNoise, NoiseSource, drawn
from img2mesh.diffusion.schedules import Spacing, sampling_schedule
from img2mesh.diffusion.speed import SPEEDS, Execution, Speed
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.multiview.zero123plus import conditioning, preprocess
from img2mesh.multiview.zero123plus.components import (
    Components,
    load_components,
    load_controlnet,
)
from img2mesh.multiview.zero123plus.denoise import Control, Denoiser, embedded_once
from img2mesh.multiview.zero123plus.placement import streamed, visiting
from img2mesh.multiview.zero123plus.trajectory import denoise

#: Target latents are shifted and scaled, ``(z * factor - 0.22) * 0.75``, and target pictures in
#: [-1, 1] are multiplied by 0.5 / 0.8 before encoding. Constants of the published training.
LATENT_SHIFT, LATENT_SCALE, IMAGE_SCALE = 0.22, 0.75, 0.5 / 0.8

Observe = Callable[[str, Any], None]


def unscale_latents(latents: torch.Tensor) -> torch.Tensor:
    """Target latents as the sampler leaves them -> ordinary latents times the VAE's factor."""
    return latents / LATENT_SCALE + LATENT_SHIFT


@dataclass(frozen=True)
class Sample:
    """What a run hands back.

    Attributes:
        latents: (n, c, h / f, w / f) float32 on the CPU, as the sampler leaves them (scaled).
        images: (n, h, w, 3) float32 in [0, 1].
    """

    latents: torch.Tensor
    images: NDArray[np.float32]


class Zero123Plus:
    """A loaded checkpoint, with or without a ControlNet.

    Args:
        components: the parts, on the CPU.
        controlnet: a diffusers ``ControlNetModel``, or None.
        background: colour behind the views it draws, and behind what it is shown of the object:
            ``grey`` or ``white``.
        device: where it works.
        execution: how; see :class:`img2mesh.diffusion.speed.Execution`.
    """

    def __init__(
        self,
        components: Components,
        controlnet: Any = None,
        *,
        background: str = "grey",
        device: str | torch.device = "cpu",
        execution: Execution | None = None,
    ) -> None:
        self.parts, self.controlnet = components, None
        self.backdrop = preprocess.BACKDROPS[background]
        self.device, self.execution = torch.device(device), execution or Execution()
        self._empty_prompt: torch.Tensor | None = None
        self._negative: tuple[torch.Tensor, torch.Tensor] | None = None
        self.bank = reference_attention.install(
            components.unet,
            keep_context=not self.execution.plain,
            plain=self.execution.plain,
        )
        for module in (components.unet, components.vae):
            self._settle(module)
        if not self.execution.plain:
            components.vae.enable_slicing()
        self.attach(controlnet)

    def attach(self, controlnet: Any, named: object = None) -> None:
        """Work with another ControlNet from now on, or with none; ``attached`` is its name."""
        self.controlnet, self.attached = controlnet, named
        if controlnet is not None:
            keep = not self.execution.plain
            reference_attention.install_plain(controlnet, keep_context=keep)
            self._settle(controlnet)

    @classmethod
    def load(
        cls,
        folder_or_name: str | Path,
        controlnet: str | Path | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        lora: Path | None = None,
        execution: Execution | None = None,
    ) -> Zero123Plus:
        """Load a local folder or a fetched checkpoint by name. Never downloads.

        Args:
            folder_or_name: a folder in the official layout, or a name of ``models list``.
            controlnet: the same for a ControlNet.
            device: a torch device.
            dtype: of the weights; float32 on the CPU.
            lora: an adapter to add, see :mod:`img2mesh.diffusion.adapters`.
            execution: how it works; nothing special by default.

        Raises:
            InputError: not there (says how to fetch it), or not what it should be.
        """
        net = None if controlnet is None else checkpoints.locate(controlnet).folder
        found = checkpoints.locate(folder_or_name)
        return cls.from_located(
            found, net, device=device, dtype=dtype, lora=lora, execution=execution
        )

    @classmethod
    def from_located(
        cls,
        found: checkpoints.Located,
        controlnet: Path | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        lora: Path | None = None,
        execution: Execution | None = None,
    ) -> Zero123Plus:
        """Load what :func:`img2mesh.diffusion.checkpoints.locate` found."""
        components = load_components(
            found.folder, dtype=dtype, unet_file=found.unet_file, lora=lora
        )
        net = None if controlnet is None else load_controlnet(controlnet, dtype=dtype)
        background = found.record.background
        return cls(components, net, background=background, device=device, execution=execution)

    @torch.inference_mode()
    def sample(
        self,
        image: preprocess.Picture,
        control_image: preprocess.Picture | None = None,
        control_scale: float = 0.75,
        steps: int = 28,
        guidance_scale: float = 4.0,
        images_per_prompt: int = 1,
        width: int = 640,
        height: int = 960,
        noise: NoiseSource | None = None,
        *,
        seed: int = 42,
        spacing: Spacing = "trailing",
        speed: Speed = SPEEDS["exact"],
        observe: Observe | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Sample:
        """Draw sheets of six views.

        Args:
            image: RGB, or RGBA, which is put on the backdrop; a Pillow picture, a file or an array.
                Should be square: the sides of a longer picture are cropped away.
            control_image: exactly width x height, RGB or RGBA (put on grey); needs a ControlNet.
            control_scale: multiplies the ControlNet's residuals; 0 is exactly the base model.
            steps: denoising steps; 28 for most objects, 75 for fine detail.
            guidance_scale: classifier-free guidance; off at 1 and below.
            images_per_prompt: sheets drawn at once, n.
            width, height: of a sheet, pixels; multiples of the VAE's factor.
            noise: where all randomness comes from; ``KeyedNoise(seed)`` by default.
            seed: of the default source.
            spacing: of the timesteps; the official examples use ``trailing``.
            speed: solver, step cache and guidance interval; its own number of steps is not used.
            observe: told (name, value) of every intermediate, for parity checks.
            progress: told the fraction done.

        Raises:
            InputError: a size, step count or control picture that cannot be worked with.
        """
        see = observe or _ignore
        source = KeyedNoise(seed) if noise is None else noise
        self._check(width, height, images_per_prompt, control_image is not None)
        schedule = sampling_schedule(steps, self.parts.training, spacing)
        guided, n = guidance.is_guided(guidance_scale), int(images_per_prompt)
        see("sched.timesteps", schedule.timesteps)
        see("sched.sigmas", schedule.sigmas)

        picture = preprocess.opened(image)
        references, context = self._condition(picture, source, see, guided=guided, count=n)
        factor = self.parts.vae_factor
        shape = (n, self.parts.unet.config.in_channels, height // factor, width // factor)
        latents = drawn(source, "init_latents", None, shape, self.device) * schedule.initial_sigma

        control = self._control(control_image, control_scale, width, height, see)
        self.bank.on_store = lambda layer, tokens: see(f"ref.{layer}", tokens)
        with ExitStack() as stack:
            stack.callback(self._forget_run)
            for part in ("unet", "controlnet"):
                stack.enter_context(self._working(part))
            stack.enter_context(embedded_once(control, self.execution))
            denoiser = Denoiser(
                self.parts.unet,
                self.bank,
                context,
                guidance_scale=guidance_scale,
                control=control,
                step_cache=speed.step_cache,
                execution=self.execution,
                observe=see,
            )
            latents = denoise(
                denoiser,
                latents,
                references,
                schedule,
                source,
                speed=speed,
                prediction=self.parts.training.prediction,
                observe=see,
                progress=progress or _silent,
            )
            del denoiser  # with all that it keeps from step to step: decoding needs the room
        see("final.latents", latents)
        return Sample(latents.cpu(), self._decode(latents, see))

    def _forget_run(self) -> None:
        """What the networks keep of a run must not outlive it, also when it fails."""
        self.bank.clear()
        for net in (self.parts.unet, self.controlnet):
            if net is not None:
                reference_attention.clear(net)

    def _check(self, width: int, height: int, count: int, controlled: bool) -> None:
        factor = self.parts.vae_factor
        if width < factor or height < factor or width % factor or height % factor:
            raise InputError(
                f"a sheet of {width}x{height} pixels was asked for; both must be positive "
                f"multiples of {factor}"
            )
        if count < 1:
            raise InputError(f"images_per_prompt must be at least 1, got {count}")
        if controlled and self.controlnet is None:
            raise InputError(
                "a control picture was given but no ControlNet is loaded; pass controlnet= to load"
            )

    def _condition(
        self, image: Image.Image, source: NoiseSource, see: Observe, *, guided: bool, count: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reference latents and context of all rows, [negative x n, positive x n]."""
        parts = self.parts
        rgb = preprocess.opaque(image, self.backdrop)
        for_vae, for_clip = parts.for_vae(rgb), parts.for_clip(rgb)
        see("prep.rgb_uint8", np.asarray(rgb))
        see("prep.pixel_values_vae", for_vae)
        see("prep.pixel_values_clip", for_clip)
        with self._working("vae"):
            latent, _ = conditioning.encode(parts.vae, for_vae, "vae_cond", source, see)
            rows = [latent]
            if guided:  # the negative branch sees mid-grey: zero after normalisation, not black
                negative, posterior = conditioning.encode(
                    parts.vae,
                    torch.zeros_like(for_vae),
                    "vae_negative",
                    source,
                    see,
                    posterior=self._negative,
                )
                self._negative = posterior
                rows = [negative, latent]
        if self._empty_prompt is None:
            with self._working("text_encoder"):
                self._empty_prompt = conditioning.empty_prompt_embedding(
                    parts.text_encoder, parts.prompt_ids.to(self.device)
                )
        with self._working("vision_encoder"):
            embedding = conditioning.image_embedding(parts.vision_encoder, for_clip.to(self.device))
        context = conditioning.prompt_context(
            self._empty_prompt, embedding, parts.ramping, guided=guided, count=count
        )
        see("cond.input_ids", parts.prompt_ids)
        see("cond.empty_prompt_embeds", self._empty_prompt)
        see("cond.image_embeds", embedding)
        see("cond.encoder_hidden_states", context)
        return torch.cat(rows).repeat_interleave(count, dim=0), context

    def _control(
        self,
        picture: preprocess.Picture | None,
        scale: float,
        width: int,
        height: int,
        see: Observe,
    ) -> Control | None:
        if picture is None:
            return None
        tensor = preprocess.control_tensor(preprocess.opened(picture), width, height)
        see("control.cond_image", tensor[0])
        return Control(self.controlnet, tensor.to(self.device, self.parts.unet.dtype), float(scale))

    def _decode(self, latents: torch.Tensor, see: Observe) -> NDArray[np.float32]:
        """(n, h, w, 3) float32 pictures in [0, 1]."""
        vae = self.parts.vae
        plain = unscale_latents(latents) / vae.config.scaling_factor
        with self._working("vae"):
            decoded = vae.decode(plain.to(vae.dtype), return_dict=False)[0].float()
        finite = bool(torch.isfinite(decoded).all())
        if not finite and vae.dtype != torch.float32 and torch.isfinite(latents).all():
            # Some fine-tuned decoders leave the range of half precision; this one is small.
            with visiting(vae, self.device, torch.float32):
                decoded = vae.decode(plain, return_dict=False)[0]
            finite = bool(torch.isfinite(decoded).all())
        if not finite:
            raise Img2MeshError(
                "the decoded views are not finite numbers: the checkpoint does not work in "
                f"{str(vae.dtype).removeprefix('torch.')}, or its weights are damaged; verify it "
                "with `img2mesh models verify`, or draw on the CPU"
            )
        see("final.vae_decoded", decoded)
        image = (decoded / IMAGE_SCALE / 2 + 0.5).clamp(0, 1)
        see("final.image", image)
        return image.permute(0, 2, 3, 1).cpu().numpy()

    def _settle(self, module: torch.nn.Module) -> None:
        """Bring a part that works in every step to where it stays."""
        if self.execution.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not self.execution.low_memory:
            module.to(self.device)

    def _working(self, part: str) -> AbstractContextManager[None]:
        """Have one part on the device while it works; the encoders never stay there."""
        module = self.controlnet if part == "controlnet" else getattr(self.parts, part)
        if module is None or self.device.type == "cpu":
            return nullcontext()
        if part.endswith("encoder") or (part == "controlnet" and self.execution.low_memory):
            return streamed(module, self.device)
        return visiting(module, self.device) if self.execution.low_memory else nullcontext()


def _ignore(name: str, value: Any) -> None:
    """Observe nothing."""


def _silent(fraction: float) -> None:
    """Report no progress."""
