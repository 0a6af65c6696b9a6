"""Would the parity test notice? Each trap of the model, fallen into on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from img2mesh.diffusion import samplers
from img2mesh.multiview.zero123 import Zero123, preprocess
from img2mesh.multiview.zero123 import model as module
from tests.multiview.zero123.conftest import GOLDEN

#: Parity demands 1e-4; a mistake must move some recorded value by twenty times that.
CAUGHT = 20 * 1e-4

Patch = pytest.MonkeyPatch


def _vectors(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Patch], dict[str, Any]]:
    made = module.camera_vectors

    def plant(patch: Patch) -> dict[str, Any]:
        patch.setattr(module, "camera_vectors", lambda *a, **k: change(made(*a, **k)))
        return {}

    return plant


def _encode(change: Callable[[Any], Any]) -> Callable[[Patch], dict[str, Any]]:
    encode = Zero123.encode

    def plant(patch: Patch) -> dict[str, Any]:
        patch.setattr(Zero123, "encode", lambda *a, **k: change(encode(*a, **k)))
        return {}

    return plant


def _zeroed_before_projection(patch: Patch) -> dict[str, Any]:
    def rows(self: Zero123, known: Any, vectors: Any, count: int, guided: bool) -> Any:
        tokens = [self.context(e, vectors) for e in (torch.zeros_like(known.embeds), known.embeds)]
        return torch.cat(tokens), torch.cat([torch.zeros_like(known.latents), known.latents])

    patch.setattr(Zero123, "_conditions", rows)
    return {}


def _latents_in_both_branches(patch: Patch) -> dict[str, Any]:
    conditions = Zero123._conditions

    def both(*args: Any) -> Any:
        context, tail = conditions(*args)
        return context, torch.cat([tail.chunk(2)[1]] * 2)

    patch.setattr(Zero123, "_conditions", both)
    return {}


def _antialiased(patch: Patch) -> dict[str, Any]:
    make = preprocess.clip_pixels

    def other(images: torch.Tensor, size: int) -> torch.Tensor:
        shrunk = torch.nn.functional.interpolate(images, (size, size), mode="bicubic")
        return make(shrunk, size)

    patch.setattr(preprocess, "clip_pixels", other)
    return {}


def _alpha_one_at_the_end(patch: Patch) -> dict[str, Any]:
    step = samplers.ddim_step

    def other(
        x: Any, output: Any, noise: Any, alpha: float, following: float, *, eta: float
    ) -> Any:
        return step(x, output, noise, alpha, 1.0 if following > 0.999 else following, eta=eta)

    patch.setattr(samplers, "ddim_step", other)
    return {}


SIGNS = torch.tensor([[1.0, -1, 1, 1], [-1.0, 1, 1, 1], [1.0, 1, 1, 0]])
MISTAKES: dict[str, Callable[[Patch], dict[str, Any]]] = {
    "azimuth's sign": _vectors(lambda v: v * SIGNS[0]),
    "elevation's sign": _vectors(lambda v: v * SIGNS[1]),
    "no radius": _vectors(lambda v: v * SIGNS[2]),
    "sine and cosine swapped": _vectors(lambda v: v[:, [0, 2, 1, 3]]),
    "scaled condition": _encode(lambda k: replace(k, latents=k.latents * 0.18215)),
    "normalised embedding": _encode(
        lambda k: replace(k, embeds=torch.nn.functional.normalize(k.embeds))
    ),
    "negative token before the projection": _zeroed_before_projection,
    "condition in the negative branch": _latents_in_both_branches,
    "resize with half-pixel corners": _antialiased,
    "guidance 2.9": lambda patch: {"guidance_scale": 2.9},
    "other picture": lambda patch: {"images": Image.open(GOLDEN / "input_1.png")},
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_caught(
    name: str, run_case: Callable[..., Any], model: Zero123, monkeypatch: Patch
) -> None:
    changes = MISTAKES[name](monkeypatch)
    deviations = run_case("single_eta0", model=model, **changes).deviations()
    assert max(deviations.values()) > CAUGHT


def test_the_last_step_s_alpha_is_the_schedule_s(
    run_case: Callable[..., Any], model: Zero123, monkeypatch: Patch
) -> None:
    _alpha_one_at_the_end(monkeypatch)
    assert run_case("batch_eta1", model=model).deviations()["latents_final"] > CAUGHT


def test_condition_before_the_noise_is_caught(
    run_case: Callable[..., Any], model: Zero123, monkeypatch: Patch
) -> None:
    unet = Zero123._unet

    def swapped(self: Any, rows: Any, tail: Any, *rest: Any) -> Any:
        return unet(self, tail, rows, *rest)

    monkeypatch.setattr(Zero123, "_unet", swapped)
    assert run_case("nocfg", model=model).deviations()["unet_out_first"] > CAUGHT


def test_a_wrong_batch_order_is_caught(
    run_case: Callable[..., Any], model: Zero123, monkeypatch: Patch
) -> None:
    """Samples of a pose lie together: pose 0, pose 0, pose 1, pose 1."""
    encode = Zero123.encode

    def alternating(*args: Any, **kwargs: Any) -> Any:
        known = encode(*args, **kwargs)
        return replace(known, latents=known.latents.flip(0), embeds=known.embeds.flip(0))

    monkeypatch.setattr(Zero123, "encode", alternating)
    assert run_case("batch_eta1", model=model).deviations()["image"] > CAUGHT
