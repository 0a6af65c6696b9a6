from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.diffusion import weights
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus.preprocess import (
    GREY,
    ImageProcessor,
    control_tensor,
    opaque,
    opened,
)

VAE = {
    "crop_size": {"height": 512, "width": 512},
    "image_mean": 0.5,
    "image_std": 0.8,
    "resample": 2,
    "size": {"shortest_edge": 512},
}


def _noise(mode: str, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(sum(size))
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], len(mode)), np.uint8))


@pytest.mark.parametrize("size", [(80, 80), (97, 41), (40, 233), (64, 63), (20, 20), (31, 500)])
@pytest.mark.parametrize("part", ["vae", "clip"])
def test_agrees_with_the_pillow_processor(part: str, size: tuple[int, int], golden: Path) -> None:
    pil = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    folder = golden / "checkpoint" / f"feature_extractor_{part}"
    picture = _noise("RGB", size)
    theirs = pil.CLIPImageProcessorPil.from_pretrained(folder)(images=picture, return_tensors="pt")
    config = weights.read_json(folder / "preprocessor_config.json")
    assert torch.equal(ImageProcessor.from_config(config)(picture), theirs.pixel_values)


@pytest.mark.parametrize("changes", [{"do_resize": False}, {"do_resize": False, "crop_size": 90}])
@pytest.mark.parametrize("size", [(80, 80), (120, 60), (61, 131)])
def test_crops_and_pads_like_the_pillow_processor(
    changes: dict[str, Any], size: tuple[int, int]
) -> None:
    pil = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    config = {**VAE, "crop_size": 64, **changes}
    theirs = pil.CLIPImageProcessorPil(**config)(images=_noise("RGB", size), return_tensors="pt")
    assert torch.equal(ImageProcessor.from_config(config)(_noise("RGB", size)), theirs.pixel_values)


def test_range_of_the_vae_branch() -> None:
    process = ImageProcessor.from_config(VAE)
    values = [float(process(Image.new("RGB", (9, 9), c)).mean()) for c in ("black", "white")]
    assert values == pytest.approx([-0.625, 0.625])


def test_old_style_sizes() -> None:
    process = ImageProcessor.from_config({**VAE, "size": 32, "crop_size": 32})
    assert process(_noise("RGB", (50, 40))).shape == (1, 3, 32, 32)


def test_transparency_becomes_grey() -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert set(opaque(picture, GREY).get_flattened_data()) == {GREY}
    half = opaque(Image.new("RGBA", (1, 1), (255, 255, 255, 128)), GREY).getpixel((0, 0))
    assert half == (191, 191, 191)


def test_rgb_is_left_alone() -> None:
    picture = _noise("RGB", (7, 5))
    assert opaque(picture, GREY) is picture


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "I;16", "CMYK"])
def test_other_modes_are_converted(mode: str) -> None:
    assert opaque(Image.new(mode, (6, 6)), GREY).mode == "RGB"


def test_transparent_palette_pictures_become_grey_there() -> None:
    picture = Image.new("P", (2, 2), 0)
    picture.putpalette([255, 0, 0] * 256)
    picture.info["transparency"] = 0
    assert opaque(picture, GREY).getpixel((0, 0)) == GREY


def test_control_picture_range_and_background() -> None:
    near, far, nothing = (0, 0, 0, 255), (255, 255, 255, 255), (255, 0, 0, 0)
    picture = Image.new("RGBA", (3, 1))
    picture.putdata([near, far, nothing])
    values = control_tensor(picture, 3, 1)[0, :, 0]
    torch.testing.assert_close(values[:, 0], torch.full((3,), -1.0))
    torch.testing.assert_close(values[:, 1], torch.full((3,), 1.0))
    torch.testing.assert_close(values[:, 2], torch.full((3,), 127 / 127.5 - 1))


def test_control_picture_must_have_the_exact_size() -> None:
    with pytest.raises(InputError, match=r"64x95.*exactly 64x96"):
        control_tensor(Image.new("RGB", (64, 95)), 64, 96)


def test_pictures_may_be_files_or_arrays(tmp_path: Path) -> None:
    picture = _noise("RGBA", (5, 4))
    picture.save(tmp_path / "p.png")
    for given in (picture, tmp_path / "p.png", str(tmp_path / "p.png"), np.asarray(picture)):
        assert opened(given).tobytes() == picture.tobytes()
    for wrong in (
        tmp_path / "none.png",
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
    ):
        with pytest.raises(InputError):
            opened(wrong)
