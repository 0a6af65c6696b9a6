"""The network: one picture of an object -> columns of depth, normals, the back's colour, elevation.

A U-Net over 32, 16 and 8 cells a side with attention where it is cheap. The slices of a column are
channels, so nothing has to be lifted into space: column and pixel are the same place. The body is
decoded *for an elevation*, the network's own guess or a given one: a body that was guessed for one
elevation and is then turned by another leans.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2mesh.multiview.learned.frustum import COLUMNS, PIXELS, SLICES

#: Centres of the elevation's bins in degrees.
ELEVATIONS_DEG = tuple(float(e) for e in range(-15, 51, 5))
#: Side of the patches in which the picture is first cut.
_PATCH = 4
_CELLS = PIXELS // _PATCH


@dataclass(frozen=True)
class Guess:
    """What the network says about a batch of pictures.

    Attributes:
        occupancy: (b, SLICES, COLUMNS, COLUMNS) logits of the slices, nearest first.
        normals: (b, 3, COLUMNS, COLUMNS) of the visible surface in the camera's axes, any length.
        back: (b, 3, COLUMNS, COLUMNS) sRGB colour of the hindmost surface, not clipped.
        elevation: (b, len(ELEVATIONS_DEG)) logits.
    """

    occupancy: Tensor
    normals: Tensor
    back: Tensor
    elevation: Tensor

    def elevation_deg(self) -> Tensor:
        """(b,) the expected elevation of the camera."""
        return expected_deg(self.elevation)


def expected_deg(logits: Tensor) -> Tensor:
    """(b,) mean elevation in degrees of logits (b, len(ELEVATIONS_DEG))."""
    return logits.float().softmax(1) @ torch.tensor(ELEVATIONS_DEG, device=logits.device)


def elevation_bins(elevation_deg: Tensor) -> Tensor:
    """(b, len(ELEVATIONS_DEG)) elevations (b,) shared between their two neighbouring bins."""
    centres = torch.tensor(ELEVATIONS_DEG, device=elevation_deg.device)
    step = ELEVATIONS_DEG[1] - ELEVATIONS_DEG[0]
    near = elevation_deg.clamp(ELEVATIONS_DEG[0], ELEVATIONS_DEG[-1])
    return (1 - (near[:, None] - centres[None]).abs() / step).clamp_min(0)


class ShapeNet(nn.Module):
    """Args give the widths; the defaults are those of the shipped weights.

    Args:
        stem, half, quarter: channels at 32, 16 and 8 cells a side.
        deep: width of the transformer in the middle.
        blocks: its depth.
    """

    def __init__(
        self, stem: int = 40, half: int = 96, quarter: int = 160, deep: int = 256, blocks: int = 3
    ) -> None:
        super().__init__()
        raw = 5 * _PATCH**2
        self.stem = _convolve(raw + 2, stem)
        self.down1 = _convolve(stem, half, stride=2)
        self.encode1 = nn.Sequential(Residual(half), Residual(half, still=True))
        self.down2 = _convolve(half, quarter, stride=2)
        self.middle = nn.Sequential(
            Residual(quarter),
            Attention(quarter, 64),
            Residual(quarter),
            Deep(quarter, deep, blocks),
        )
        self.lean = Deep(quarter, deep, 1)
        self.told = nn.Linear(len(ELEVATIONS_DEG), deep)
        self.up2 = _convolve(quarter, half, kernel=1)
        self.decode2 = nn.Sequential(_convolve(2 * half, half, kernel=1), Residual(half))
        self.up1 = _convolve(half, 64, kernel=1)
        self.decode1 = _convolve(64 + stem, 64)
        self.coarse = nn.Conv2d(64, SLICES, 3, padding=1)
        self.detail = _convolve(64 + raw, 128, kernel=1)
        self.fine = nn.Conv2d(128, 4 * (SLICES + 6), 1)
        nn.init.zeros_(self.fine.weight)
        if self.fine.bias is not None:
            nn.init.zeros_(self.fine.bias)
        self.elevation = nn.Linear(quarter, len(ELEVATIONS_DEG))
        self.elevation_more = nn.Sequential(
            nn.Linear(2 * quarter, 128), nn.GELU(), nn.Linear(128, len(ELEVATIONS_DEG))
        )
        for parameter in self.elevation_more[2].parameters():
            nn.init.zeros_(parameter)
        axis = torch.linspace(-1, 1, _CELLS)
        place = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]
        self.register_buffer("place", place, persistent=False)

    def forward(
        self, picture: Tensor, elevation: Tensor | None = None, given: Tensor | None = None
    ) -> Guess:
        """Read pictures.

        Args:
            picture: (b, 5, PIXELS, PIXELS) as :func:`stack_input` makes it.
            elevation: (b, len(ELEVATIONS_DEG)) shares of the elevations for which the body is to
                be decoded, as :func:`elevation_bins` makes them; by default the network's own.
            given: (b,) bool, the rows in which ``elevation`` counts; by default all.
        """
        raw = F.pixel_unshuffle(picture, _PATCH)
        place = self.place.expand(len(raw), -1, -1, -1).to(raw.dtype)  # type: ignore[operator]
        cells = torch.cat([raw, place], 1).contiguous(memory_format=torch.channels_last)
        full = self.stem(cells)
        half = self.encode1(self.down1(full))
        middle = self.middle(self.down2(half))
        mean = middle.mean((2, 3))
        logits = self.elevation(mean)
        logits = logits + self.elevation_more(torch.cat([mean, middle.amax((2, 3))], 1))
        shares = logits.detach().float().softmax(1)
        if elevation is not None:
            shares = elevation if given is None else torch.where(given[:, None], elevation, shares)
        middle = self.lean(middle, self.told(shares.to(middle.dtype))[:, None])
        x = self.decode2(torch.cat([half, _twice(self.up2(middle))], 1))
        x = self.decode1(torch.cat([full, _twice(self.up1(x))], 1))
        coarse = F.interpolate(
            self.coarse(x), size=(COLUMNS, COLUMNS), mode="bilinear", align_corners=False
        )
        fine = F.pixel_shuffle(self.fine(self.detail(torch.cat([x, raw], 1))), 2)
        slices, normals, back = fine.split([SLICES, 3, 3], 1)
        return Guess(coarse + slices, normals, back, logits)


def stack_input(rgb: Tensor, alpha: Tensor) -> Tensor:
    """The network's input.

    Args:
        rgb: (b, 3, PIXELS, PIXELS) sRGB in [0, 1], anything where alpha is 0.
        alpha: (b, PIXELS, PIXELS) in [0, 1].

    Returns:
        (b, 5, PIXELS, PIXELS): premultiplied colours about their middle, alpha, and the distance to
        the outline.
    """
    import cv2
    import numpy as np

    masks = (alpha > 0.5).to(torch.uint8).cpu().numpy()
    away = np.stack([cv2.distanceTransform(m, cv2.DIST_L2, 3) for m in masks])
    depth = torch.from_numpy(away).to(rgb) * (96 / PIXELS / 16) - 0.3
    a = alpha[:, None]
    return torch.cat([(2 * rgb - 1) * a, a, depth[:, None]], 1)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2)


def _convolve(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """Two convolutions beside the identity; a ``still`` one begins as the identity."""

    def __init__(self, width: int, *, still: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        nn.init.constant_(self.norm2.weight, 0.0 if still else 0.2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> the same."""
        inner = F.relu(self.norm1(self.first(x)))
        out: Tensor = F.relu(x + self.norm2(self.second(inner)))
        return out


class Block(nn.Module):
    """A transformer block over tokens (b, n, width)."""

    def __init__(self, width: int, hidden: int, *, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, n, width) -> the same."""
        b, n, width = tokens.shape
        split = self.inward(self.norm1(tokens)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(split[0], split[1], split[2])
        tokens = tokens + self.outward(seen.transpose(1, 2).reshape(b, n, width))
        out: Tensor = tokens + self.narrow(F.gelu(self.widen(self.norm2(tokens))))
        return out


class Attention(nn.Module):
    """A transformer block over the cells of a picture, with learned positions."""

    def __init__(self, width: int, cells: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(cells, width) * 0.02)
        self.block = Block(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> the same; h * w must be ``cells``."""
        b, width, h, w = x.shape
        tokens = self.block(x.flatten(2).transpose(1, 2) + self.position)
        out: Tensor = tokens.transpose(1, 2).reshape(b, width, h, w)
        return out


class Deep(nn.Module):
    """A wider transformer beside the identity, over the 8 x 8 cells of the middle."""

    def __init__(self, width: int, deep: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, deep)
        self.position = nn.Parameter(torch.randn(64, deep) * 0.02)
        self.blocks = nn.Sequential(*(Block(deep, 4 * deep) for _ in range(blocks)))
        self.norm = nn.LayerNorm(deep)
        self.leave = nn.Linear(deep, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, told: Tensor | float = 0.0) -> Tensor:
        """(b, width, 8, 8) -> the same; ``told`` (b, 1, deep) is added to every token."""
        b, width, h, w = x.shape
        tokens = self.enter(x.flatten(2).transpose(1, 2)) + self.position + told
        added = self.leave(self.norm(self.blocks(tokens)))
        out: Tensor = x + added.transpose(1, 2).reshape(b, width, h, w)
        return out
