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
from img2mesh.diffusion.speed import Execution
from img2mesh.multiview.zero123plus.deep_cache import DeepCache

#: What a ControlNet adds to the skip connections and to the middle block, or nothing.
Residuals = tuple[tuple[torch.Tensor, ...] | None, torch.Tensor | None]


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

    Rows are [negative x n, positive x n] where guidance acts, else (positive x n) alone.

    Args:
        unet: U-Net with reference attention installed.
        bank: its bank.
        context: (b, 77, d) of all rows; b = 2n when guided, else n.
        guidance_scale: of classifier-free guidance.
        control: depth or normal control, or None.
        step_cache: compute the deep levels every so many steps; see :class:`.speed.Speed`.
        execution: how.
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
        step_cache: int,
        execution: Execution,
        observe: Any,
    ) -> None:
        self.unet, self.bank, self.control = unet, bank, control
        self.guidance_scale, self.execution, self.observe = guidance_scale, execution, observe
        self.dtype, self.step_cache = context.dtype, step_cache
        # Kept as objects: their identity is what the cross-attention layers recognise.
        self.contexts = {"both": context, "positive": context}
        if guidance.is_guided(guidance_scale):
            self.contexts["negative"], self.contexts["positive"] = context.chunk(2)
        self._deep = DeepCache(unet) if step_cache > 1 else None
        self._computed: tuple[int, bool] | None = None
        self._residuals: dict[str, tuple[torch.Tensor, ...]] = {}
        bank.stop_after = None if execution.plain else reference_attention.layers(unet)[-1]

    def __call__(
        self,
        latents: torch.Tensor,
        reference: torch.Tensor,
        timestep: torch.Tensor,
        step: int,
        *,
        guided: bool,
    ) -> torch.Tensor:
        """The guided network output.

        Args:
            latents: (n, c, h, w) float32, scaled as the network sees them.
            reference: (b, c, h', w') float32 noised condition latents of all rows.
            timestep: 0-d float32.
            step: index of the step, for the caches.
            guided: whether guidance acts in this step, where the scale asks for any.

        Returns:
            (n, c, h, w) float32.
        """
        guided = guided and guidance.is_guided(self.guidance_scale)
        rows = guidance.double(latents, guided)
        reference = reference[-len(rows) :]
        self.observe("step.read_input", rows)
        self.observe("step.write_input", reference)
        branches = ["positive"]
        if guided:
            branches = ["negative", "positive"] if self.execution.low_memory else ["both"]
        cached = self._cached(step, guided)
        outputs = [
            self._branch(name, x.to(self.dtype), z.to(self.dtype), timestep, cached)
            for name, x, z in zip(
                branches, rows.chunk(len(branches)), reference.chunk(len(branches)), strict=True
            )
        ]
        output = torch.cat(outputs).float()
        self.observe("step.unet_output", output)
        return guidance.guide(output, self.guidance_scale) if guided else output

    def _cached(self, step: int, guided: bool) -> bool:
        """Whether a step takes the deep levels from before: recent ones, of the same rows."""
        if self._computed is not None and self._deep is not None:
            last, was_guided = self._computed
            if guided == was_guided and step - last < self.step_cache:
                return True
        self._computed = step, guided
        return False

    def _branch(
        self,
        name: str,
        rows: torch.Tensor,
        reference: torch.Tensor,
        timestep: torch.Tensor,
        cached: bool,
    ) -> torch.Tensor:
        """Write and read passes of some rows: of both guidance branches, or of one."""
        context = self.contexts[name]
        if cached:
            assert self._deep is not None
            with self.bank.passing("write"):
                self._deep.shallow(f"write {name}", reference, timestep, context)
            with self.bank.passing("read"):
                return self._deep.shallow(
                    f"read {name}", rows, timestep, context, self._residuals[name]
                )
        residuals = self._control(name, rows, timestep)
        if self._deep is not None:
            self._residuals[name] = (residuals[0] or ())[: self._deep.skips]
        self.bank.clear()
        with self.bank.passing("write"), self._remembering(f"write {name}"):
            self.unet(reference, timestep, context, return_dict=False)
        shared, remembering = self._shared(self.unet, name), self._remembering(f"read {name}")
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

    def _control(self, name: str, rows: torch.Tensor, timestep: torch.Tensor) -> Residuals:
        """ControlNet residuals of the read pass; (None, None) without control or at scale 0."""
        if self.control is None or self.control.scale == 0:
            return None, None  # exactly the base model: x + 0 would cost a pass
        with self._shared(self.control.net, name):
            down, mid = self.control.net(
                rows,
                timestep,
                self.contexts[name],
                controlnet_cond=self.control.picture,
                conditioning_scale=self.control.scale,
                return_dict=False,
            )
        for i, residual in enumerate(down):
            self.observe(f"control.down_{i:02d}", residual)
        self.observe("control.mid", mid)
        return down, mid

    @contextmanager
    def _shared(self, net: Any, name: str) -> Iterator[None]:
        """Compute the layers before the first attention once for both guidance branches."""
        if self.execution.plain or name != "both":
            yield
            return
        half = len(self.contexts[name]) // 2

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
def embedded_once(control: Control | None, execution: Execution) -> Iterator[None]:
    """Embed the control picture once for all steps of a run."""
    if control is None or control.scale == 0 or execution.plain:
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
