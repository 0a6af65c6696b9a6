"""From a picture to the tensors of the two image branches, by Pillow alone.

The published networks saw Pillow's resampling; torch's differs by up to several 8-bit steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from img2mesh.errors import InputError

#: Colour behind transparent pixels of control pictures, and of the condition of most checkpoints:
#: zero in [-1, 1].
GREY = (127, 127, 127)
#: Colour behind the condition, by the background of the views that a checkpoint draws.
BACKDROPS = {"grey": GREY, "white": (255, 255, 255)}

#: What may be given as a picture: an open one, a file, or (h, w, 3 | 4) uint8.
Picture = Image.Image | str | Path | NDArray[np.uint8]

_WITH_ALPHA = ("LA", "La", "PA", "RGBa")


def opened(picture: Picture) -> Image.Image:
    """A Pillow picture from whatever was given.

    Raises:
        InputError: no picture.
    """
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4):
            raise InputError(
                f"a picture array must be (h, w, 3 or 4) uint8, got {picture.shape} {picture.dtype}"
            )
        return Image.fromarray(picture)
    try:
        return Image.open(picture)
    except OSError as error:
        raise InputError(f"{picture} cannot be opened as a picture ({error})") from None


def opaque(picture: Image.Image, backdrop: tuple[int, int, int]) -> Image.Image:
    """An RGB picture: RGBA pasted over a colour (Pillow's integer compositing), RGB as it is.

    Palette and grey pictures are converted first, with their transparency where they have any.
    """
    if picture.mode == "RGB":
        return picture
    if picture.mode in _WITH_ALPHA or (picture.mode == "P" and "transparency" in picture.info):
        picture = picture.convert("RGBA")
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    canvas = Image.new("RGB", picture.size, backdrop)
    canvas.paste(picture.convert("RGB"), mask=picture.getchannel("A"))
    return canvas


@dataclass(frozen=True)
class ImageProcessor:
    """What a ``preprocessor_config.json`` of the CLIP kind asks for.

    Attributes:
        short_edge: the shorter side after resizing, pixels; None keeps the size.
        crop: (height, width) of the centre crop; None crops nothing.
        resample: Pillow's filter number (2 bilinear, 3 bicubic).
        rescale: factor on 8-bit values.
        mean, std: one value a channel, applied after ``rescale``.
    """

    short_edge: int | None
    crop: tuple[int, int] | None
    resample: int
    rescale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ImageProcessor:
        """Read the configuration; sizes may be numbers or mappings, mean and std scalars or lists.

        Raises:
            InputError: a resize rule that is not a shortest edge.
        """
        size = config.get("size", {"shortest_edge": 224})
        edge = size.get("shortest_edge") if isinstance(size, Mapping) else size
        if config.get("do_resize", True) and edge is None:
            raise InputError(f"the image processor resizes to {size}, expected a shortest edge")
        crop = config.get("crop_size", {"height": 224, "width": 224})
        pair = (crop["height"], crop["width"]) if isinstance(crop, Mapping) else (crop, crop)
        normalised = config.get("do_normalize", True)
        return cls(
            short_edge=int(edge) if config.get("do_resize", True) and edge is not None else None,
            crop=(int(pair[0]), int(pair[1])) if config.get("do_center_crop", True) else None,
            resample=int(config.get("resample", 3)),
            rescale=float(config.get("rescale_factor", 1 / 255))
            if config.get("do_rescale", True)
            else 1.0,
            mean=_three(config.get("image_mean", 0.5)) if normalised else (0.0, 0.0, 0.0),
            std=_three(config.get("image_std", 0.5)) if normalised else (1.0, 1.0, 1.0),
        )

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        """(1, 3, h, w) float32 from an RGB picture."""
        picture = picture.convert("RGB")
        if self.short_edge is not None:
            width, height = picture.size
            short, long = min(width, height), max(width, height)
            longer = int(self.short_edge * long / short)  # truncates, as the reference does
            size = (self.short_edge, longer) if width <= height else (longer, self.short_edge)
            picture = picture.resize(size, Image.Resampling(self.resample))
        pixels = np.asarray(picture)
        if self.crop is not None:
            pixels = _centre(pixels, *self.crop)
        scaled = (pixels.astype(np.float64) * self.rescale).astype(np.float32)
        normal = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)))[None]


def _three(value: float | list[float]) -> tuple[float, float, float]:
    values = [float(value)] * 3 if isinstance(value, (int, float)) else [float(v) for v in value]
    if len(values) != 3:
        raise InputError(f"an image processor needs one value or three a channel, got {values}")
    return values[0], values[1], values[2]


def _centre(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Crop (h, w, 3) around its centre; where it is too small, pad with zeros."""
    h, w = pixels.shape[:2]
    if h < height or w < width:
        padded = np.zeros((max(h, height), max(w, width), 3), pixels.dtype)
        top, left = ceil((padded.shape[0] - h) / 2), ceil((padded.shape[1] - w) / 2)
        padded[top : top + h, left : left + w] = pixels
        # Mixed case: the crop's corner is that of the unpadded picture, moved by the padding.
        y, x = (h - height) // 2 + top, (w - width) // 2 + left
        return padded[max(y, 0) : y + height, max(x, 0) : x + width]
    y, x = (h - height) // 2, (w - width) // 2
    return pixels[y : y + height, x : x + width]


def control_tensor(picture: Image.Image, width: int, height: int) -> torch.Tensor:
    """(1, 3, h, w) float32 in [-1, 1] from a control picture; transparency becomes grey.

    Raises:
        InputError: the picture is not exactly width x height.
    """
    if picture.size != (width, height):
        raise InputError(
            f"the control picture is {picture.width}x{picture.height}, it must be exactly "
            f"{width}x{height}: six tiles in the layout of the output"
        )
    pixels = np.asarray(opaque(picture, GREY), np.float32) / np.float32(255)
    return torch.from_numpy(((pixels - 0.5) / 0.5).transpose(2, 0, 1).copy())[None]
