"""From a picture to what the two image branches of Zero-1-to-3 see.

The published networks disagree on the way into CLIP: the original resamples the float picture to
224 without antialiasing, corners on corners; the other layout's program goes through an 8-bit
``CLIPImageProcessor``.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from img2mesh.multiview.zero123plus.preprocess import Picture, opened

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def on_white(picture: Picture, width: int, height: int) -> Image.Image:
    """An RGB picture of exactly width x height: resized if need be, its transparency on white.

    A picture of the right size without transparency comes back as it is. Alpha is blended, not
    cut at a threshold.

    Raises:
        InputError: no picture.
    """
    image = opened(picture)
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBa"):
        image = image.convert("RGBA")
    image = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    if image.mode == "RGB":
        return image
    rgba = np.asarray(image, np.float32) / 255
    flat = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:])
    return Image.fromarray(np.rint(flat * 255).astype(np.uint8))


def pixels(pictures: list[Image.Image]) -> torch.Tensor:
    """(b, 3, h, w) float32 in [-1, 1] for the VAE."""
    stack = np.stack([np.asarray(p, np.float32) for p in pictures])
    return torch.from_numpy(stack.transpose(0, 3, 1, 2).copy() / np.float32(127.5) - 1)


def clip_pixels(images: torch.Tensor, size: int) -> torch.Tensor:
    """(b, 3, size, size) float32 for CLIP as the original makes it.

    Args:
        images: (b, 3, h, w) float32 in [-1, 1].
        size: side that the vision tower takes.
    """
    small = torch.nn.functional.interpolate(
        images, (size, size), mode="bicubic", align_corners=True, antialias=False
    )
    mean = torch.tensor(_MEAN, device=images.device)[:, None, None]
    std = torch.tensor(_STD, device=images.device)[:, None, None]
    return ((small + 1) / 2 - mean) / std
