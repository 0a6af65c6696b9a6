"""From normals to depth: bilateral normal integration of one view.

Normals say how depth changes from pixel to pixel, but not across jumps. Every pixel is therefore
tied to its neighbours by its own tangent plane on either side, and where the two sides disagree the
worse one lets go (Cao et al. 2022, "Bilateral Normal Integration"). In the logarithm of the depth
the planes of a perspective camera give linear equations, and each connected patch keeps one free
offset, its scale; anchors, where there are any, fix that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F64

Index = NDArray[np.int64]
Bool = NDArray[np.bool_]

#: Rounds of solving and letting go; most links have settled after five.
_ROUNDS = 8
#: Mean change of the links' weights that ends the rounds.
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
class Lattice:
    """The pixels of one view whose normals are known, on every ``stride``-th row and column.

    Attributes:
        where: (h, w) bool, the lattice.
        flat: (n,) their flat indices into it.
        beside: (4, n) number of the neighbour to the right, left, below, above; -1 for none.
        normal: (n, 3) unit world normals.
        ray: (n, 3) world directions of unit z-depth.
        focal: focal length in lattice pixels.
        stride: pixel spacing.
    """

    where: Bool
    flat: Index
    beside: Index
    normal: F64
    ray: F64
    focal: float
    stride: int

    def __len__(self) -> int:
        return len(self.flat)

    def picture(self, values: NDArray[np.floating], missing: float = np.nan) -> F64:
        """Values (n,) of the pixels as a picture (h, w)."""
        out = np.full(self.where.size, missing)
        out[self.flat] = values
        return out.reshape(self.where.shape)

    def number_at(self, uv: F64) -> Index:
        """(m,) number of the lattice pixel nearest to pixel coordinates (m, 2), -1 for none."""
        height, width = self.where.shape
        column, row = np.rint((uv - 0.5) / self.stride).astype(np.int64).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        number = np.full(self.where.size, -1)
        number[self.flat] = np.arange(len(self.flat))
        return np.where(inside, number[(row * width + column).clip(0, number.size - 1)], -1)


def lattice(
    mask: Bool, normals: NDArray[np.floating], rays: F64, focal: float, stride: int
) -> Lattice:
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
    return Lattice(where, flat, beside, normal[where], ray[where], focal / stride, stride)


@dataclass(frozen=True)
class Integrated:
    """Depth of one view.

    Attributes:
        log_depth: (n,) natural logarithm of the z-depth.
        link: (4, n) weight in [0, 1] of each pixel's tangent plane towards each neighbour; about
            1/2 on smooth surface, 0 across a jump.
    """

    log_depth: F64
    link: F64


def integrate(pixels: Lattice, anchor: F64, trust: F64, *, width: float = 0.01) -> Integrated:
    """Depths whose tangents are the normals, near the anchors.

    Args:
        pixels: (n,) pixels with normals.
        anchor: (n,) natural logarithm of a z-depth, NaN where none is known.
        trust: (n,) weight of each anchor; a link to a neighbour that faces the camera weighs 1/2.
        width: anchors further than this (logarithm of depth) from their patch lose their say.

    Returns:
        The depths; patches without an anchor lie at the mean depth of all anchors.
    """
    n = len(pixels)
    ties = [_tie(pixels, side) for side in range(4)]
    pull = np.where(np.isfinite(anchor), trust, 0.0) * pixels.focal**2
    known = pull > 0
    goal = np.where(known, anchor, 0.0)
    spread = pull if known.any() else np.isfinite(anchor).astype(float)
    middle = float(np.average(np.nan_to_num(anchor), weights=spread)) if spread.any() else 0.0
    link = np.stack([np.where(pixels.beside[side] >= 0, 0.5, 0.0) for side in range(4)])
    say = np.ones(n)
    log_depth = np.full(n, middle)
    for turn in range(_ROUNDS):
        # Firm anchors first: the links find the jumps while the anchors hold both sides apart.
        firm = _FIRM ** (1 - turn / (_ROUNDS - 1))
        hold = _HOLD * pixels.focal**2
        log_depth = _solve(n, ties, link, pull * say * firm, goal, middle, hold)
        residual = np.stack([t.residual(log_depth) for t in ties])
        previous, link = link, _let_go(residual)
        link[pixels.beside < 0] = 0
        say = 1 / (1 + ((log_depth - goal) / width) ** 2) ** 2
        if not known.any() and np.abs(link - previous).mean() < _SETTLED:
            break
    return Integrated(log_depth, link)


@dataclass(frozen=True)
class _Tie:
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


def _tie(pixels: Lattice, side: int) -> _Tie:
    """The plane with normal n through the point at depth z on ray r meets r' at z n.r / n.r'."""
    other = pixels.beside[side]
    pixel = np.flatnonzero(other >= 0)
    other = other[pixel]
    normal = pixels.normal[pixel]
    own = -(normal * pixels.ray[pixel]).sum(-1)
    there = -(normal * pixels.ray[other]).sum(-1)
    own, there = np.maximum(own, _GRAZING), np.maximum(there, _GRAZING)
    return _Tie(pixel, other, np.log(own / there), own * pixels.focal, len(pixels))


def _let_go(residual: F64) -> F64:
    """(4, n) weights from squared residuals: of two opposite sides the better one wins."""
    link = np.empty_like(residual)
    for a, b in ((0, 1), (2, 3)):
        # A missing neighbour leaves the whole say to the other side.
        gap = np.clip(np.minimum(residual[b], 1e3) - np.minimum(residual[a], 1e3), -25, 25)
        link[a] = 1 / (1 + np.exp(-_SHARPNESS * gap))
        link[b] = 1 - link[a]
    return link


def _solve(
    n: int, ties: list[_Tie], link: F64, pull: F64, goal: F64, middle: float, hold: float
) -> F64:
    """Least squares over all equations by one sparse factorisation."""
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import splu

    diagonal = pull + hold
    right = pull * goal + hold * middle
    rows, columns, values = [np.arange(n)], [np.arange(n)], []
    for side, tie in enumerate(ties):
        weight = link[side][tie.pixel] * tie.scale**2
        diagonal = diagonal + np.bincount(tie.pixel, weight, n) + np.bincount(tie.other, weight, n)
        moment = weight * tie.rise
        right = right - np.bincount(tie.pixel, moment, n) + np.bincount(tie.other, moment, n)
        rows += [tie.pixel, tie.other]
        columns += [tie.other, tie.pixel]
        values += [-weight, -weight]
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
    solution: F64 = factors.solve(right)
    return solution
