"""One step of Zero123++: write the reference, read it while denoising, guide.

The U-Net is run twice at the same timestep with the same context. The write pass sees the
condition's latents at the current noise level and leaves its self-attention tokens in the bank;
the read pass denoises with them (arXiv 2310.15110, section 2.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from img2mesh.diffusion import guidance, reference_attention
from img2mesh.diffusion.speed import Speed
from img2mesh.multiview.zero123plus.deep_cache import DeepCache


@dataclass(frozen=True)
class Control:
    """A ControlNet with its picture and weight.

    Attributes:
        net: a diffusers ``ControlNetModel``.
        picture: (1, 3, h, w) in [-1, 1], in the network's dtype and on its device.
        scale: what its residuals are multiplied by.
    """

    net: Any
    picture: torch.Tensor
    scale: float


class Denoiser:
    """The guided network of one run: fixed context, fixed control, changing latents.

    Args:
        unet: U-Net with reference attention installed.
        bank: its bank.
        context: (b, 77, d) rows [negative x n, positive x n] when guided, else (n, 77, d).
        guidance_scale: of classifier-free guidance.
        control: depth or normal control, or None.
        speed: the switches.
        observe: told (name, value) of intermediates, for parity checks.
    """

    def __init__(
        self,
        unet: Any,
        bank: reference_attention.ReferenceBank,
        context: torch.Tensor,
        *,
        guidance_scale: float,
        control: Control | None,
        speed: Speed,
        observe: Any,
    ) -> None:
        self.unet, self.bank, self.control = unet, bank, control
        self.guidance_scale, self.speed, self.observe = guidance_scale, speed, observe
        self.guided = guidance.is_guided(guidance_scale)
        self.dtype = context.dtype
        split = self.guided and speed.low_memory
        # Kept as objects: their identity is what the cross-attention layers recognise.
        self.contexts = tuple(context.chunk(2)) if split else (context,)
        self._deep = DeepCache(unet) if speed.step_cache > 1 else None
        bank.stop_after = reference_attention.layers(unet)[-1] if speed.shortcuts else None

    def __call__(
        self, latents: torch.Tensor, reference: torch.Tensor, timestep: torch.Tensor, step: int
    ) -> torch.Tensor:
        """The guided network output.

        Args:
            latents: (n, c, h, w) float32, scaled as the network sees them.
            reference: (b, c, h', w') float32 noised condition latents of all rows.
            timestep: 0-d float32.
            step: index of the step, for the caches.

        Returns:
            (n, c, h, w) float32.
        """
        if self.speed.compile:  # values of the last step may be overwritten by CUDA graphs now
            torch.compiler.cudagraph_mark_step_begin()
        rows = guidance.double(latents, self.guided)
        self.observe("step.read_input", rows)
        self.observe("step.write_input", reference)
        parts = len(self.contexts)
        outputs = [
            self._part(branch, x.to(self.dtype), z.to(self.dtype), timestep, step)
            for branch, (x, z) in enumerate(
                zip(rows.chunk(parts), reference.chunk(parts), strict=True)
            )
        ]
        output = torch.cat(outputs).float()  # cat copies: CUDA graphs reuse their outputs
        self.observe("step.unet_output", output)
        return guidance.guide(output, self.guidance_scale)

    def _part(
        self,
        branch: int,
        rows: torch.Tensor,
        reference: torch.Tensor,
        timestep: torch.Tensor,
        step: int,
    ) -> torch.Tensor:
        """Write and read passes of all rows, or of one guidance branch."""
        context = self.contexts[branch]
        residuals = self._control(rows, timestep, context)
        if self._deep is not None and step % self.speed.step_cache:
            with self.bank.passing("write"):
                self._deep.shallow(f"write {branch}", reference, timestep, context, (None, None))
            with self.bank.passing("read"):
                return self._deep.shallow(f"read {branch}", rows, timestep, context, residuals)
        self.bank.clear()
        with self.bank.passing("write"), self._remembering(f"write {branch}"):
            self.unet(reference, timestep, context, return_dict=False)
        shared, remembering = self._shared(self.unet, rows), self._remembering(f"read {branch}")
        with self.bank.passing("read"), shared, remembering:
            return self.unet(
                rows,
                timestep,
                context,
                down_block_additional_residuals=residuals[0],
                mid_block_additional_residual=residuals[1],
                return_dict=False,
            )[0]

    def _remembering(self, which: str) -> AbstractContextManager[None]:
        return nullcontext() if self._deep is None else self._deep.recording(which)

    def _control(
        self, rows: torch.Tensor, timestep: torch.Tensor, context: torch.Tensor
    ) -> tuple[Any, Any]:
        """ControlNet residuals of the read pass; (None, None) without control or at scale 0."""
        if self.control is None or self.control.scale == 0:
            return None, None  # exactly the base model: x + 0 would cost a pass
        with self._shared(self.control.net, rows):
            down, mid = self.control.net(
                rows,
                timestep,
                context,
                controlnet_cond=self.control.picture,
                conditioning_scale=self.control.scale,
                return_dict=False,
            )
        for i, residual in enumerate(down):
            self.observe(f"control.down_{i:02d}", residual)
        self.observe("control.mid", mid)
        return down, mid

    @contextmanager
    def _shared(self, net: Any, rows: torch.Tensor) -> Iterator[None]:
        """Compute the layers before the first attention once for both guidance branches."""
        if not (self.speed.shortcuts and self.guided and len(self.contexts) == 1):
            yield
            return
        half = len(rows) // 2

        def first(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(a[:half] if isinstance(a, torch.Tensor) else a for a in args)

        def both(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
            return torch.cat([output, output])

        modules = [net.conv_in, net.down_blocks[0].resnets[0]]
        hooks = [m.register_forward_pre_hook(first) for m in modules]
        hooks += [m.register_forward_hook(both) for m in modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@contextmanager
def embedded_once(control: Control | None, speed: Speed) -> Iterator[None]:
    """Embed the control picture once for all steps of a run."""
    if control is None or control.scale == 0 or not speed.shortcuts:
        yield
        return
    embedding = control.net.controlnet_cond_embedding
    kept: list[torch.Tensor] = []
    compute = embedding.forward

    def forward(picture: torch.Tensor) -> torch.Tensor:
        if not kept:
            kept.append(compute(picture))
        return kept[0]

    embedding.forward = forward
    try:
        yield
    finally:
        del embedding.forward
