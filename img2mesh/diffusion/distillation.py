"""Guidance: what pulls renders of a field towards pictures that a model believes in.

:class:`Guidance` is the whole protocol: renders, their cameras, the reference and the step in, a
gradient on the renders out. Anything with that method can guide; :class:`ScoreGuidance` is the
one for diffusion models, which a :class:`Denoiser` makes out of a checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import torch

from img2mesh.core.cameras import Camera
from img2mesh.diffusion import score
from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.diffusion.scores import Kind
from img2mesh.errors import InputError


@dataclass(frozen=True)
class Reference:
    """The picture that everything is about.

    Attributes:
        rgb: (h, w, 3) float32 in [0, 1], the object on white.
        alpha: (h, w) float32.
        camera: where it was taken from, for h x w pixels.
    """

    rgb: torch.Tensor
    alpha: torch.Tensor
    camera: Camera


@dataclass(frozen=True)
class Step:
    """How far the distillation is; all randomness of a step hangs on it and the seed.

    Attributes:
        number: 0 .. of - 1.
        of: steps in all.
        seed: of the run.
    """

    number: int
    of: int
    seed: int

    @property
    def share(self) -> float:
        """Done, in [0, 1)."""
        return self.number / self.of

    def generator(self, purpose: str) -> torch.Generator:
        """A stream of its own for this step and purpose, always on the CPU."""
        digest = hashlib.sha256(f"{self.seed}/{purpose}/{self.number}".encode()).digest()
        return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8]) >> 1)


class Guidance:
    """Pulls renders somewhere. Subclass it and write :meth:`gradient`; the rest has defaults.

    Attributes:
        channels: of the renders it wants.
        latent: they are latents, not RGB in [0, 1].
    """

    channels: int = 3
    latent: bool = False

    def gradient(
        self, renders: torch.Tensor, cameras: Sequence[Camera], reference: Reference, step: Step
    ) -> torch.Tensor:
        """Which way *up* the loss is.

        Args:
            renders: (b, c, h, w) float32, detached.
            cameras: one a render, circling the origin.
            reference: the photo's object.
            step: how far we are.

        Returns:
            (b, c, h, w): the field moves against it.
        """
        raise NotImplementedError

    def background(self) -> torch.Tensor:
        """(c,) what is behind the object: white."""
        return torch.ones(self.channels)

    def to_rgb(self, renders: torch.Tensor) -> torch.Tensor:
        """(b, 3, h', w') in [0, 1] of renders (b, c, h, w), differentiable."""
        return renders

    def state(self) -> dict[str, torch.Tensor]:
        """What it has learned so far, for checkpoints; nothing by default."""
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a :meth:`state`."""


class Denoiser(Protocol):
    """What score guidance asks of a diffusion model."""

    #: The noise process.
    training: TrainingSchedule
    #: Channels of the latents.
    channels: int

    def encode(self, renders: torch.Tensor, draw: torch.Generator | None = None) -> torch.Tensor:
        """(b, c, h', w') scaled latents of RGB renders, differentiable.

        A sample of the posterior where there is a generator to draw it, else its mean.
        """
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(b, 3, h, w) in [0, 1], differentiable."""
        ...

    def white(self) -> torch.Tensor:
        """(c,) mean scaled latent of a white picture."""
        ...

    def predict(
        self,
        noisy: torch.Tensor,
        timestep: int,
        cameras: Sequence[Camera],
        reference: Reference,
        *,
        scale: float,
    ) -> torch.Tensor:
        """Guided noise prediction, without a gradient."""
        ...

    def adapt(self, rate: float) -> Adaptation:
        """A trainable copy for VSD.

        Raises:
            InputError: the model cannot be trained.
        """
        ...


class Adaptation(Protocol):
    """A model that learns what the present renders look like."""

    def predict(
        self,
        noisy: torch.Tensor,
        timestep: int,
        cameras: Sequence[Camera],
        reference: Reference,
    ) -> torch.Tensor:
        """Noise prediction at guidance scale 1, without a gradient."""
        ...

    def learn(
        self,
        noisy: torch.Tensor,
        noise: torch.Tensor,
        timestep: int,
        cameras: Sequence[Camera],
        reference: Reference,
    ) -> float:
        """One training step; returns the loss before it."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Weights and the optimiser's memory."""
        ...

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a :meth:`state`."""
        ...


@dataclass(frozen=True)
class Window:
    """Which noise levels are drawn, as shares of the training steps, moving linearly.

    Attributes:
        low, high: at the start, 0 < low <= high <= 1.
        low_end, high_end: at ``until`` and after.
        until: share of the run.
        annealed: no draw: the upper end itself, which falls.
    """

    low: float = 0.02
    high: float = 0.98
    low_end: float = 0.02
    high_end: float = 0.98
    until: float = 1.0
    annealed: bool = False

    def __post_init__(self) -> None:
        for low, high in ((self.low, self.high), (self.low_end, self.high_end)):
            if not 0 <= low <= high <= 1:
                raise InputError(
                    f"noise levels must be shares 0 <= low <= high <= 1: {low}, {high}"
                )

    def timestep(self, step: Step, train_steps: int) -> int:
        """The level of a step."""
        way = 1.0 if self.until <= 0 else min(step.share / self.until, 1.0)
        low = self.low + way * (self.low_end - self.low)
        high = self.high + way * (self.high_end - self.high)
        share = 1.0 if self.annealed else float(torch.rand((), generator=step.generator("level")))
        return min(int((low + share * (high - low)) * train_steps), train_steps - 1)


class ScoreGuidance(Guidance):
    """SDS, SJC or VSD by a diffusion model.

    Args:
        denoiser: the model.
        kind: which score.
        scale: classifier-free guidance.
        window: noise levels of SDS and VSD; SJC draws from its own table.
        latent: the renders are latents already (SJC as published), not RGB.
        rate: of VSD's trainable copy.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        kind: Kind,
        *,
        scale: float,
        window: Window,
        latent: bool = False,
        rate: float = 1e-4,
    ) -> None:
        if kind not in get_args(Kind):
            raise InputError(f"unknown guidance {kind!r}; there are {', '.join(get_args(Kind))}")
        self.denoiser, self.kind, self.scale, self.window = denoiser, kind, scale, window
        self.latent = latent
        self.channels = denoiser.channels if latent else 3
        self.alphas = denoiser.training.alphas_cumprod()
        self.sigmas = score.Sigmas.of(denoiser.training)
        self.adaptation = denoiser.adapt(rate) if kind == "vsd" else None

    def gradient(
        self, renders: torch.Tensor, cameras: Sequence[Camera], reference: Reference, step: Step
    ) -> torch.Tensor:
        """See :meth:`Guidance.gradient`; RGB renders get it through the encoder."""
        leaf = renders.detach().requires_grad_(not self.latent)
        posterior = step.generator("posterior")
        latents = leaf if self.latent else self.denoiser.encode(leaf, posterior)
        noise = torch.randn(latents.shape, generator=step.generator("noise")).to(latents)
        found = self._on_latents(latents.detach(), noise, cameras, reference, step)
        if self.latent:
            return found
        (gradient,) = torch.autograd.grad(latents, leaf, found)
        return gradient

    def background(self) -> torch.Tensor:
        """White, or what white is in latents."""
        return self.denoiser.white() if self.latent else super().background()

    def to_rgb(self, renders: torch.Tensor) -> torch.Tensor:
        """Decoded, where the renders are latents."""
        return self.denoiser.decode(renders) if self.latent else renders

    def state(self) -> dict[str, torch.Tensor]:
        """VSD's trainable copy."""
        return {} if self.adaptation is None else self.adaptation.state()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a :meth:`state`."""
        if self.adaptation is not None:
            self.adaptation.restore(state)

    def _on_latents(
        self,
        latents: torch.Tensor,
        noise: torch.Tensor,
        cameras: Sequence[Camera],
        reference: Reference,
        step: Step,
    ) -> torch.Tensor:
        def predict(noisy: torch.Tensor, timestep: int) -> torch.Tensor:
            return self.denoiser.predict(noisy, timestep, cameras, reference, scale=self.scale)

        if self.kind == "sjc":
            share = float(torch.rand((), generator=step.generator("level")))
            return score.sjc(latents, noise, self.sigmas.drawn(share), self.sigmas, predict)
        timestep = self.window.timestep(step, len(self.alphas))
        alpha = float(self.alphas[timestep])
        if self.adaptation is None:
            return score.sds(latents, noise, timestep, alpha, predict)
        adaptation = self.adaptation

        def predict_render(noisy: torch.Tensor, t: int) -> torch.Tensor:
            return adaptation.predict(noisy, t, cameras, reference)

        found = score.vsd(latents, noise, timestep, alpha, predict, predict_render)
        # The copy learns the renders at another level than it was just asked about.
        drawn = step.generator("copy")
        level = int(torch.randint(len(self.alphas), (), generator=drawn))
        fresh = torch.randn(latents.shape, generator=drawn).to(latents)
        noisy = score.noised(latents, fresh, float(self.alphas[level]))
        adaptation.learn(noisy, fresh, level, cameras, reference)
        return found


GuidanceMaker = Callable[..., Guidance]


def require_gradient(found: Any, renders: torch.Tensor) -> torch.Tensor:
    """What a guidance returned, if it is usable.

    Raises:
        InputError: another shape or type.
    """
    if not isinstance(found, torch.Tensor) or found.shape != renders.shape:
        got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise InputError(
            f"the guidance returned {got} as gradient, expected a tensor of the renders' shape "
            f"{tuple(renders.shape)}"
        )
    return found.detach().nan_to_num()
