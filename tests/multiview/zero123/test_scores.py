"""SDS, SJC and VSD of a checkpoint: recorded gradients, and what must hold by construction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2mesh.core.cameras import Camera
from img2mesh.diffusion import score
from img2mesh.diffusion.distillation import Reference, ScoreGuidance, Step, Window
from img2mesh.field.distillation import losses
from img2mesh.multiview.zero123 import Zero123
from img2mesh.multiview.zero123.denoiser import Zero123Denoiser
from tests.multiview.zero123.conftest import GOLDEN, META, deviation

EXTRAS = load_file(GOLDEN / "extras.safetensors")
Y, NOISE = EXTRAS["sjc_y"], EXTRAS["sjc_noise"]


@pytest.fixture
def predict(model: Zero123) -> Callable[[float], score.Predict]:
    known = model.encode([Image.open(GOLDEN / "input_0.png")], 64, 64)
    vectors = EXTRAS["sjc_T"].float().reshape(1, 4)

    def at(scale: float) -> score.Predict:
        return lambda z, t: model.noise_prediction(z, t, known, vectors, guidance_scale=scale)

    return at


def test_the_table_of_levels(model: Zero123) -> None:
    table = score.Sigmas.of(model.parts.training).table
    assert torch.allclose(table, EXTRAS["sjc_sigmas_table"].float(), atol=1e-6, rtol=0)
    for case in META["sjc"]:
        level, timestep = score.Sigmas(table).snapped(case["sigma_requested"])
        assert level == pytest.approx(case["sigma_snapped"], abs=1e-6)
        assert timestep == case["unet_timestep"]
    assert score.Sigmas(table).drawn(0.0) == float(table[30])
    assert score.Sigmas(table).drawn(0.999999) == float(table[-11])


@pytest.mark.parametrize("j", [0, 1])
def test_recorded_gradients(j: int, predict: Any, model: Zero123) -> None:
    case, sigmas = META["sjc"][j], score.Sigmas.of(model.parts.training)
    network = predict(case["guidance_scale"])
    for reduced, name in ((True, "var_red"), (False, "plain")):
        got = score.sjc(
            Y, NOISE, case["sigma_requested"], sigmas, network, variance_reduced=reduced
        )
        assert deviation(-got, EXTRAS[f"sjc{j}_grad_{name}"]) < 1e-4
    case = META["sds"][j]
    t = case["timestep"]
    got = score.sds(Y, NOISE, t, float(model.alphas[t]), predict(case["guidance_scale"]))
    assert deviation(got, EXTRAS[f"sds{j}_grad"]) < 1e-4
    assert float(got.square().sum()) / 2 == pytest.approx(case["loss"], rel=1e-4)


@pytest.mark.parametrize(
    "mistake",
    ["noise not taken away", "unweighted", "level not snapped for the network", "other timestep"],
)
def test_mistakes_in_a_score_are_caught(mistake: str, predict: Any, model: Zero123) -> None:
    case, t = META["sds"][0], META["sds"][0]["timestep"]
    alpha, network = float(model.alphas[t]), predict(case["guidance_scale"])
    noisy = score.noised(Y, NOISE, alpha)
    wrong = {
        "noise not taken away": (1 - alpha) * network(noisy, t),
        "unweighted": network(noisy, t) - NOISE,
        "level not snapped for the network": score.sds(Y, NOISE, t, alpha, lambda z, s: network(
            z / alpha**0.5, s)),
        "other timestep": score.sds(Y, NOISE, t, alpha, lambda z, s: network(z, s + 40)),
    }[mistake]  # fmt: skip
    assert deviation(wrong, EXTRAS["sds0_grad"]) > 20 * 1e-4


def test_the_gradient_is_that_of_the_published_loss_and_stays_out_of_the_network(
    predict: Any, model: Zero123
) -> None:
    y = Y.clone().requires_grad_(True)
    gradient = score.sds(y.detach(), NOISE, 500, float(model.alphas[500]), predict(3.0))
    loss = 0.5 * (y - (y - gradient).detach()).square().sum()
    (slope,) = torch.autograd.grad(loss, y)
    assert deviation(slope, gradient) < 1e-6
    assert not gradient.requires_grad
    assert all(p.grad is None for p in model.parts.unet.parameters())


def camera(azimuth: float = 40.0, elevation: float = 10.0) -> Camera:
    return Camera.orbit(azimuth, elevation, distance=2, fov_deg=49.13, width=64, height=64)


@pytest.fixture
def reference() -> Reference:
    rgb = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    return Reference(rgb, torch.ones(64, 64), camera(0.0))


def guidance(model: Zero123, kind: Any, **more: Any) -> ScoreGuidance:
    settings = {"scale": 1.0, "window": Window(0.3, 0.6), **more}
    return ScoreGuidance(Zero123Denoiser(model), kind, **settings)


@pytest.mark.parametrize("kind", ["sds", "sjc"])
@pytest.mark.parametrize("latent", [False, True])
def test_renders_get_a_gradient(
    kind: Any, latent: bool, model: Zero123, reference: Reference
) -> None:
    guide = guidance(model, kind, latent=latent, scale=3.0)
    renders = torch.rand(2, 4 if latent else 3, *((8, 8) if latent else (32, 32)))
    cameras = [camera(30), camera(-70)]
    one, again, other = (
        guide.gradient(renders, cameras, reference, Step(n, 10, seed=0)) for n in (3, 3, 4)
    )
    assert one.shape == renders.shape and torch.isfinite(one).all() and one.abs().max() > 0
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert guide.background().shape == (guide.channels,)
    assert guide.to_rgb(renders).shape[:2] == (2, 3)


def test_cameras_are_told_relative_to_the_reference(model: Zero123, reference: Reference) -> None:
    judge = Zero123Denoiser(model)
    up = Camera.orbit(90, 30, distance=2.5, fov_deg=49.13, width=8, height=8)
    (vector,) = judge.vectors([up], Reference(reference.rgb, reference.alpha, camera(60, 10)))
    expected = [-20 * torch.pi / 180, 0.5, 3**0.5 / 2, 0.5]
    assert vector.tolist() == pytest.approx(expected, abs=1e-5)


def test_vsd_is_nothing_while_the_copy_is_the_model(model: Zero123, reference: Reference) -> None:
    guide = guidance(model, "vsd")
    renders = torch.rand(1, 3, 64, 64)
    first = guide.gradient(renders, [camera()], reference, Step(0, 10, seed=0))
    assert first.abs().max() == 0, "an untrained copy says what the model says"
    guided = guidance(model, "vsd", scale=7.5)
    assert guided.gradient(renders, [camera()], reference, Step(0, 10, seed=0)).abs().max() > 0


def test_the_copy_learns_one_render_and_the_model_stays(
    model: Zero123, reference: Reference
) -> None:
    before = {k: v.clone() for k, v in model.parts.unet.state_dict().items()}
    copy = Zero123Denoiser(model).adapt(1e-2)
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(1, 4, 8, 8, generator=generator)
    noise = torch.randn(1, 4, 8, 8, generator=generator)
    noisy = score.noised(clean, noise, float(model.alphas[400]))
    told = [copy.learn(noisy, noise, 400, [camera()], reference) for _ in range(25)]
    assert told[-1] < 0.7 * told[0]
    assert all(torch.equal(v, before[k]) for k, v in model.parts.unet.state_dict().items())
    assert copy.lora.camera.abs().max() > 0, "the camera is learned from too"
    again = Zero123Denoiser(model).adapt(1e-2)
    again.restore(copy.state())
    more = [c.learn(noisy, noise, 400, [camera()], reference) for c in (copy, again)]
    assert more[0] == more[1]
    assert torch.equal(copy.state()["camera"], again.state()["camera"])


def test_recorded_regularisers() -> None:
    expected = META["regularisers"]
    got = float(losses.depth_smoothness(EXTRAS["reg_depth"]))
    assert got == pytest.approx(expected["depth_smooth"], rel=1e-5)
    got = float(losses.emptiness(EXTRAS["reg_ws"]))
    assert got == pytest.approx(expected["emptiness_scale10"], rel=1e-5)
    flat = torch.full((8, 8), 3.0)
    assert losses.depth_smoothness(flat) == 0 and losses.near_view(flat, flat, flat, flat) == 0
    assert losses.sparsity(torch.zeros(4)) == pytest.approx(0.1)
    assert losses.opaque(torch.ones(4)) < 0.01 < losses.opaque(torch.full((4,), 0.5))


def test_windows_move_and_anneal() -> None:
    moving = Window(0.4, 0.85, 0.2, 0.5, until=0.5)
    drawn = [moving.timestep(Step(n, 1000, seed=0), 1000) for n in range(1000)]
    assert min(drawn[:5]) >= 400 and max(drawn[:20]) <= 850
    assert min(drawn[500:]) >= 200 and max(drawn[500:]) < 500
    falling = Window(0.02, 0.98, 0.02, 0.02, annealed=True)
    levels = [falling.timestep(Step(n, 100, seed=0), 1000) for n in range(100)]
    assert levels[0] == 980 and levels == sorted(levels, reverse=True)
