"""Figures of networks: closed forms, and plumbing with random weights that are never reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from img2mesh.artifacts import View
from img2mesh.errors import InputError
from img2mesh.evaluation import frechet
from img2mesh.evaluation.perceptual import Perceptual, load_clip, load_lpips
from img2mesh.evaluation.views import measure
from img2mesh.imaging.metrics import psnr, ssim

RNG = np.random.default_rng(0)


def test_the_frechet_distance_of_gaussians_has_its_closed_form() -> None:
    a, b = np.array([1.0, 2.0, 0.5]), np.array([0.5, 3.0, 2.0])
    turn, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    first, second = (turn * s**2 @ turn.T for s in (a, b))  # they commute
    shift = np.array([0.3, -1.0, 2.0])
    found = frechet.frechet_distance(np.zeros(3), first, shift, second)
    assert found == pytest.approx((shift**2).sum() + ((a - b) ** 2).sum())
    # Against the general form, by scipy's matrix root.
    from scipy.linalg import sqrtm

    other = RNG.normal(size=(3, 3))
    other = other @ other.T
    root = sqrtm(first @ other).real
    expected = np.trace(first + other - 2 * root)
    assert frechet.frechet_distance(shift, first, shift, other) == pytest.approx(expected)


def test_the_frechet_distance_of_samples_nears_that_of_their_gaussians() -> None:
    one = RNG.normal(size=(20_000, 4))
    two = RNG.normal(size=(20_000, 4)) * 2 + 1
    assert frechet.of_features(one, two) == pytest.approx(4 + 4, rel=0.05)
    assert frechet.of_features(one, one) < 1e-9
    with pytest.raises(InputError, match="at least two"):
        frechet.of_features(one[:1], two)


def views(count: int, size: int = 24) -> tuple[View, ...]:
    rgb = RNG.random((count, size, size, 3)).astype(np.float32)
    return tuple(View(c, np.ones((size, size), np.float32), None) for c in rgb)


def test_the_tiled_protocol_is_that_of_one_picture_made_by_hand() -> None:
    ours, theirs = views(6), views(6)
    networks = Perceptual(lpips=lambda a, b: float(a.shape[0] * 1000 + a.shape[1]))
    found = measure(ours, theirs, networks)
    a, b = (
        np.concatenate(
            [np.concatenate([v[k].rgb, v[k + 1].rgb], axis=1) for k in (0, 2, 4)]
        ).astype(np.float64)
        for v in (ours, theirs)
    )
    a, b = (np.floor(x * 255 + 0.5) / 255 for x in (a, b))
    assert found["psnr_tiled"] == pytest.approx(psnr(a, b))
    assert found["ssim_tiled"] == pytest.approx(ssim(a, b))
    assert found["lpips_tiled"] == 72 * 1000 + 48 and found["lpips"] == 24 * 1000 + 24


def test_psnr_and_ssim_agree_with_scikit_image() -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    for _ in range(3):
        a, b = RNG.random((2, 40, 30, 3))
        assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1))
        expected = structural_similarity(a, b, channel_axis=-1, data_range=1.0)
        assert ssim(a, b) == pytest.approx(expected)


def test_lpips_takes_a_backbone_from_a_file(tmp_path: Path) -> None:
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(0)
    model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = {f"features.{k.split('.', 1)[1]}": v for k, v in model.net.state_dict().items()}
    torch.save({**state, "classifier.1.weight": torch.zeros(2)}, tmp_path / "random.pth")
    compare = load_lpips(tmp_path / "random.pth")
    a, b = RNG.random((2, 64, 64, 3))
    pair = [torch.from_numpy(x).float().permute(2, 0, 1)[None] * 2 - 1 for x in (a, b)]
    assert compare(a, b) == pytest.approx(float(model(*pair)), rel=1e-5)
    assert compare(a, a) == 0 and compare(a, b) == pytest.approx(compare(b, a), rel=1e-5)
    with pytest.raises(InputError, match="--lpips-net"):
        load_lpips(tmp_path / "random.pth", "vgg")


def test_lpips_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match=r"img2mesh\[metrics\]"):
        load_lpips(Path("alexnet.pth"))


def test_clip_similarity_is_the_cosine_of_a_folder_s_embeddings(tmp_path: Path) -> None:
    t = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "patch_size": 8}
    config = t.CLIPVisionConfig(**sizes, num_attention_heads=2, image_size=32, projection_dim=8)
    t.CLIPVisionModelWithProjection(config).save_pretrained(folder := tmp_path / "clip")
    processor = {"size": {"shortest_edge": 32}, "crop_size": 32}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    compare = load_clip(folder)
    a, b = RNG.random((2, 48, 48, 3))
    assert compare(a, a) == pytest.approx(1, abs=1e-5)
    assert compare(a, b) == pytest.approx(compare(b, a)) and compare(a, b) < 1 - 1e-6
