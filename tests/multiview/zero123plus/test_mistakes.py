"""Would the parity test notice? Each typical mistake, made on purpose in our own code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from img2mesh.diffusion import samplers
from img2mesh.diffusion.reference_attention import ReferenceBank
from img2mesh.multiview.zero123plus import conditioning, model, preprocess
from img2mesh.multiview.zero123plus.denoise import Denoiser
from tests.models.noise import RecordedNoise

#: The smallest deviation a mistake must cause; parity demands 1e-4.
CAUGHT = 1e-2

Patch = pytest.MonkeyPatch


def _no_reference(patch: Patch) -> dict[str, Any]:
    passing = ReferenceBank.passing
    patch.setattr(
        ReferenceBank,
        "passing",
        lambda self, mode: passing(self, "off" if mode == "read" else mode),
    )
    return {}


def _clean_reference(patch: Patch) -> dict[str, Any]:
    patch.setattr(samplers, "noised", lambda clean, noise, sigma: clean)
    return {}


def _first_steps_scale(patch: Patch) -> dict[str, Any]:
    """The wrapped scheduler of the reference program's depth example: divides by 25.166 always."""
    patch.setattr(
        samplers, "noised", lambda clean, noise, sigma: (clean + noise * sigma) / 25.16596
    )
    return {}


def _posterior_mean(patch: Patch) -> dict[str, Any]:
    def silent(draws: dict[str, torch.Tensor]) -> RecordedNoise:
        zero = {k: torch.zeros_like(draws[k]) for k in ("vae_cond", "vae_negative")}
        return RecordedNoise({**draws, **zero})

    return {"noise": silent}


def _scaled_condition(patch: Patch) -> dict[str, Any]:
    encode = conditioning.encode

    def scaled(*args: Any, **kwargs: Any) -> Any:
        latent, posterior = encode(*args, **kwargs)
        return latent * 0.18215, posterior

    patch.setattr(conditioning, "encode", scaled)
    return {}


def _linspace(patch: Patch) -> dict[str, Any]:
    return {"spacing": "linspace"}


def _image_in_negative(patch: Patch) -> dict[str, Any]:
    context = conditioning.prompt_context

    def both(*args: Any, **kwargs: Any) -> torch.Tensor:
        rows = context(*args, **kwargs)
        return torch.cat([rows[len(rows) // 2 :]] * 2)

    patch.setattr(conditioning, "prompt_context", both)
    return {}


def _normalised_embedding(patch: Patch) -> dict[str, Any]:
    embed = conditioning.image_embedding
    patch.setattr(
        conditioning,
        "image_embedding",
        lambda *args: torch.nn.functional.normalize(embed(*args), dim=-1),
    )
    return {}


def _shared_noise(patch: Patch) -> dict[str, Any]:
    def shared(draws: dict[str, torch.Tensor]) -> RecordedNoise:
        reference = draws["reference"]
        half = reference[:, reference.shape[1] // 2 :]
        return RecordedNoise({**draws, "reference": torch.cat([half, half], dim=1)})

    return {"noise": shared}


def _frozen_noise(patch: Patch) -> dict[str, Any]:
    def frozen(draws: dict[str, torch.Tensor]) -> RecordedNoise:
        reference = draws["reference"]
        return RecordedNoise({**draws, "reference": reference[:1].expand_as(reference)})

    return {"noise": frozen}


def _white_background(patch: Patch) -> dict[str, Any]:
    patch.setitem(preprocess.BACKDROPS, "grey", (255, 255, 255))
    return {}


def _black_negative(patch: Patch) -> dict[str, Any]:
    encode = conditioning.encode

    def black(vae: Any, pixels: torch.Tensor, kind: str, *rest: Any, **kwargs: Any) -> Any:
        return encode(
            vae, pixels - 0.625 if kind == "vae_negative" else pixels, kind, *rest, **kwargs
        )

    patch.setattr(conditioning, "encode", black)
    return {}


def _swapped_reference(patch: Patch) -> dict[str, Any]:
    call = Denoiser.__call__
    patch.setattr(
        Denoiser,
        "__call__",
        lambda self, x, reference, *rest, **more: call(self, x, reference.flip(0), *rest, **more),
    )
    return {}


def _no_latent_shift(patch: Patch) -> dict[str, Any]:
    patch.setattr(model, "LATENT_SHIFT", 0.0)
    return {}


def _no_image_scale(patch: Patch) -> dict[str, Any]:
    patch.setattr(model, "IMAGE_SCALE", 1.0)
    return {}


#: mistake -> the recorded values it must move.
BASE = {
    _no_reference: "step.unet_output",
    _clean_reference: "step.unet_output",
    _first_steps_scale: "step.write_input",
    _posterior_mean: "step.unet_output",
    _scaled_condition: "step.unet_output",
    _linspace: "final.latents",
    _image_in_negative: "step.guided_output",
    _normalised_embedding: "cond.image_embeds",
    _shared_noise: "step.unet_output",
    _frozen_noise: "step.unet_output",
    _white_background: "step.unet_output",
    _black_negative: "step.unet_output",
    _swapped_reference: "step.unet_output",
    _no_latent_shift: "final.vae_decoded",
    _no_image_scale: "final.image",
}


@pytest.mark.parametrize("mistake", BASE, ids=lambda m: m.__name__.strip("_"))
def test_mistake_is_caught(
    mistake: Callable[[Patch], dict[str, Any]],
    run_case: Callable[..., Any],
    monkeypatch: Patch,
    deviation: Callable[..., float],
) -> None:
    case = run_case("base", **mistake(monkeypatch))
    name = BASE[mistake]
    assert deviation(case.ours(name), case.recorded[name]) > CAUGHT


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0])
def test_wrong_conditioning_scale_is_caught(
    scale: float, run_case: Callable[..., Any], deviation: Callable[..., float]
) -> None:
    case = run_case("depth", control_scale=scale)
    assert deviation(case.ours("final.latents"), case.recorded["final.latents"]) > CAUGHT
