"""LightGlue from a folder: the code path, on tiny random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from img2mesh.errors import InputError, MissingExtraError
from img2mesh.imaging import learned_matching
from img2mesh.imaging.learned_matching import identity, lightglue


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random SuperPoint and LightGlue, saved as transformers saves them."""
    import torch

    transformers = pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("lightglue")
    torch.manual_seed(0)
    detector = transformers.SuperPointConfig(
        encoder_hidden_sizes=[4, 4, 8, 8], decoder_hidden_size=16, keypoint_decoder_dim=65,
        descriptor_decoder_dim=16, max_keypoints=400, keypoint_threshold=0.0, initializer_range=0.2,
    )  # fmt: skip
    config = transformers.LightGlueConfig(
        keypoint_detector_config=detector.to_dict(), descriptor_dim=16, num_hidden_layers=1,
        num_attention_heads=2, filter_threshold=0.0, initializer_range=0.2,
        depth_confidence=-1.0, width_confidence=-1.0,
    )  # fmt: skip
    transformers.LightGlueForKeypointMatching(config).save_pretrained(place)
    return place


def picture(seed: int) -> np.ndarray:
    """Noise in a white frame: what is matched lies on it."""
    out = np.full((96, 128, 3), 255, np.uint8)
    out[8:88, 8:120] = np.random.default_rng(seed).integers(0, 200, (80, 112, 1), np.uint8)
    return out


def test_matches_are_on_the_object_in_the_pictures_own_pixels(folder: Path) -> None:
    match = lightglue(folder)
    found = match(picture(0), picture(1))
    assert found.ndim == 2 and found.shape[1] == 5 and len(found) > 0
    for x, y in (found[:, :2].T, found[:, 2:4].T):
        assert (x >= 8).all() and (x < 120).all() and (y >= 8).all() and (y < 88).all()
    assert (found[:, 4] >= 0).all() and (found[:, 4] <= 1).all()
    # Every point of a picture is its own best partner in the same picture.
    same = match(picture(0), picture(0))
    assert len(same) > 3 and np.abs(same[:, :2] - same[:, 2:4]).max() < 1e-6
    blank = np.full((96, 128, 3), 255, np.uint8)
    assert match(blank, blank).shape == (0, 5)


def test_the_cache_key_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert identity(tmp_path) == identity(folder)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert identity(tmp_path) != identity(folder)


def test_what_is_no_lightglue_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="neither sift nor a folder"):
        lightglue(tmp_path / "nothing")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text('{"model_type": "efficientloftr"}')
    with pytest.raises(InputError, match="type 'efficientloftr': expected lightglue"):
        lightglue(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "lightglue"}')
    with pytest.raises(InputError, match="cannot be loaded as LightGlue"):
        lightglue(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'img2mesh\[diffusion\]'"):
        learned_matching.lightglue(tmp_path)
