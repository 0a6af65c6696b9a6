"""From normals to depth: bilateral normal integration of one view.

Normals say how depth changes from pixel to pixel, but not across jumps. Every pixel is therefore
tied to its neighbours by its own tangent plane on either side, and where the two sides disagree
the worse one loses its weight (Cao et al. 2022, "Bilateral Normal Integration"). In the logarithm
of depth the planes of a perspective camera give linear equations, solved by iteratively reweighted
least squares, and each connected patch keeps one free offset, its scale; anchors fix that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F64

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: Rounds of solving and reweighting; most weights have settled after five.
_ROUNDS = 8
#: Mean change of the weights that ends the rounds.
_SETTLED = 2e-3
#: How much firmer the anchors are in the first round than in the last.
_FIRM = 30.0
#: How sharply the better side wins: squared residuals in pixels are compared (k = 2 in the paper).
_SHARPNESS = 2.0
#: Least cosine between ray and normal: below, a tangent plane says nothing about the next pixel.
_GRAZING = 0.05
#: Weight of staying near the anchors' mean where nothing else ties a patch.
_HOLD = 1e-6


@dataclass(frozen=True)
class PixelGrid:
    """The pixels of one view whose normals are known, on every ``stride``-th row and column.

    Attributes:
        where: (h, w) bool, the used pixels of the grid.
        flat: (n,) their flat indices into it.
        beside: (4, n) number of the neighbour to the right, left, below, above; -1 for none.
        normal: (n, 3) unit world normals.
        ray: (n, 3) world directions of unit z-depth.
        focal: focal length in pixels of the grid.
        stride: pixel spacing.
    """

    where: Mask
    flat: Index
    beside: Index
    normal: F64
    ray: F64
    focal: float
    stride: int

    @classmethod
    def of(
        cls, mask: Mask, normals: NDArray[np.floating], rays: F64, focal: float, stride: int
    ) -> PixelGrid:
        """Take the pixels inside a mask whose normal is known and faces the camera.

        Args:
            mask: (h, w) bool of all pixels.
            normals: (h, w, 3) world normals, 0 where unknown.
            rays: (h, w, 3) world directions of unit z-depth.
            focal: focal length in pixels.
            stride: every how many-th pixel.
        """
        some = (slice(None, None, stride), slice(None, None, stride))
        normal, ray = normals[some].astype(np.float64), rays[some]
        known = (normal * normal).sum(-1) > 0.25
        where = mask[some] & known & ((normal * ray).sum(-1) < 0)
        flat = np.flatnonzero(where)
        number = np.full((where.shape[0] + 2, where.shape[1] + 2), -1, np.int64)
        number[1:-1, 1:-1][where] = np.arange(len(flat))
        sides = (number[1:-1, 2:], number[1:-1, :-2], number[2:, 1:-1], number[:-2, 1:-1])
        beside = np.stack([s[where] for s in sides])
        return cls(where, flat, beside, normal[where], ray[where], focal / stride, stride)

    def __len__(self) -> int:
        return len(self.flat)

    def picture(self, values: NDArray[np.floating], missing: float = np.nan) -> F64:
        """Values (n,) of the pixels as a picture (h, w)."""
        out = np.full(self.where.size, missing)
        out[self.flat] = values
        return out.reshape(self.where.shape)

    def number_at(self, uv: F64) -> Index:
        """(m,) number of the pixel nearest to pixel coordinates (m, 2), -1 for none."""
        height, width = self.where.shape
        column, row = np.rint((uv - 0.5) / self.stride).astype(np.int64).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        number = np.full(self.where.size, -1)
        number[self.flat] = np.arange(len(self.flat))
        return np.where(inside, number[(row * width + column).clip(0, number.size - 1)], -1)


@dataclass(frozen=True)
class Integrated:
    """Depth of one view.

    Attributes:
        log_depth: (n,) natural logarithm of the z-depth.
        weight: (4, n) in [0, 1] of each pixel's tangent plane towards each neighbour; about 1/2 on
            smooth surface, 0 across a jump.
    """

    log_depth: F64
    weight: F64


def integrate(pixels: PixelGrid, anchor: F64, anchor_weight: F64, *, width: float) -> Integrated:
    """Depths whose tangents are the normals, near the anchors.

    Args:
        pixels: (n,) pixels with normals.
        anchor: (n,) natural logarithm of a z-depth, NaN where none is known.
        anchor_weight: (n,) of each anchor; an equation with a neighbour on smooth surface that
            faces the camera weighs 1/2.
        width: anchors further than this (logarithm of depth) from their patch lose confidence.

    Returns:
        The depths; patches without an anchor lie at the mean depth of all anchors.
    """
    n = len(pixels)
    equations = [_equation(pixels, side) for side in range(4)]
    fixed = np.where(np.isfinite(anchor), anchor_weight, 0.0) * pixels.focal**2
    known = fixed > 0
    target = np.where(known, anchor, 0.0)
    spread = fixed if known.any() else np.isfinite(anchor).astype(float)
    middle = float(np.average(np.nan_to_num(anchor), weights=spread)) if spread.any() else 0.0
    hold = _HOLD * pixels.focal**2
    weight = np.stack([np.where(pixels.beside[side] >= 0, 0.5, 0.0) for side in range(4)])
    confidence = np.ones(n)
    log_depth = np.full(n, middle)
    for turn in range(_ROUNDS):
        # Firm anchors first: the weights find the jumps while the anchors hold both sides apart.
        firm = _FIRM ** (1 - turn / (_ROUNDS - 1))
        anchors = fixed * confidence * firm
        log_depth = _solve(n, equations, weight, anchors, target, middle, hold)
        residual = np.stack([e.residual(log_depth) for e in equations])
        previous, weight = weight, _reweight(residual)
        weight[pixels.beside < 0] = 0
        confidence = 1 / (1 + ((log_depth - target) / width) ** 2) ** 2
        if not known.any() and np.abs(weight - previous).mean() < _SETTLED:
            break
    return Integrated(log_depth, weight)


@dataclass(frozen=True)
class NormalEquation:
    """The equations log z[other] - log z[pixel] = rise towards the neighbours on one side.

    Attributes:
        pixel, other: (m,) the two pixels.
        rise: (m,) what the first pixel's tangent plane says.
        scale: (m,) makes a difference of the logarithms a distance to that plane in pixels.
        count: number of all pixels.
    """

    pixel: Index
    other: Index
    rise: F64
    scale: F64
    count: int

    def residual(self, log_depth: F64) -> F64:
        """(n,) squared distance to the plane in pixels, inf where there is no neighbour."""
        out = np.full(self.count, np.inf)
        off = (log_depth[self.other] - log_depth[self.pixel] - self.rise) * self.scale
        out[self.pixel] = off * off
        return out


def _equation(pixels: PixelGrid, side: int) -> NormalEquation:
    """The plane with normal n through the point at depth z on ray r meets r' at z n.r / n.r'."""
    other = pixels.beside[side]
    pixel = np.flatnonzero(other >= 0)
    other = other[pixel]
    normal = pixels.normal[pixel]
    own = -(normal * pixels.ray[pixel]).sum(-1)
    there = -(normal * pixels.ray[other]).sum(-1)
    own, there = np.maximum(own, _GRAZING), np.maximum(there, _GRAZING)
    return NormalEquation(pixel, other, np.log(own / there), own * pixels.focal, len(pixels))


def _reweight(residual: F64) -> F64:
    """(4, n) weights from squared residuals: of two opposite sides the better one wins."""
    weight = np.empty_like(residual)
    for a, b in ((0, 1), (2, 3)):
        # A missing neighbour leaves the whole weight to the other side.
        gap = np.clip(np.minimum(residual[b], 1e3) - np.minimum(residual[a], 1e3), -25, 25)
        weight[a] = 1 / (1 + np.exp(-_SHARPNESS * gap))
        weight[b] = 1 - weight[a]
    return weight


def _solve(
    n: int,
    equations: list[NormalEquation],
    weight: F64,
    anchors: F64,
    target: F64,
    middle: float,
    hold: float,
) -> F64:
    """Least squares over all equations by one sparse factorisation."""
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import splu

    diagonal = anchors + hold
    right = anchors * target + hold * middle
    rows, columns, values = [np.arange(n)], [np.arange(n)], []
    for side, e in enumerate(equations):
        w = weight[side][e.pixel] * e.scale**2
        diagonal = diagonal + np.bincount(e.pixel, w, n) + np.bincount(e.other, w, n)
        moment = w * e.rise
        right = right - np.bincount(e.pixel, moment, n) + np.bincount(e.other, moment, n)
        rows += [e.pixel, e.other]
        columns += [e.other, e.pixel]
        values += [-w, -w]
    matrix = csc_matrix(
        (np.concatenate([diagonal, *values]), (np.concatenate(rows), np.concatenate(columns))),
        shape=(n, n),
    )
    factors = splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return factors.solve(right)
