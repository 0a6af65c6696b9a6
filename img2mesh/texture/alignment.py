"""Views brought into register on the surface before they are blended, so that nothing doubles.

Each view gets a smooth warp of its picture, bilinear between control points, so that its silhouette
falls on the surface's and what it shows of the surface agrees with what the others show (colour map
optimisation with local correction, Zhou and Koltun 2014; the silhouettes are ours). Views and their
consensus are improved in turn by Gauss-Newton steps, from blurred pictures to sharp ones. Priors
decide what neither texture nor outline tells: warps are small and smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32
from img2mesh.imaging.lookup import texels_at
from img2mesh.texture.sources import Source, blurred

Floats = NDArray[np.float64]

#: Control points along the longer side of a picture.
_CONTROLS = 17

#: Blur of the pictures in each step, in pixels of a picture of 320.
_BLURS = (4.0, 4.0, 3.0, 3.0, 2.0, 2.0, 1.5, 1.5, 1.0, 1.0)
_REFERENCE_SIZE = 320

#: Expected spread between views once they agree, of colours and of coverage (``docs/texture.md``).
_COLOUR, _OUTLINE = 0.05, 0.1

#: Expected size of warps, and of their change between neighbouring control points; in pixels of a
#: picture of 320.
_WARP, _CHANGE = 2.0, 0.6

#: A point is compared with the other views only where they have this much to say.
_LEAST_WEIGHT = 0.01


@dataclass(frozen=True)
class Visibility:
    """What a source sees of the surface: points (s,), where (s, 2) in pixels, how well (s,)."""

    seen: NDArray[np.int64]
    uv: Floats
    weight: F32


@dataclass(frozen=True)
class _Term:
    """Points (s, 2) of a picture (h, w, c), the change wanted there (s, c), and how much it counts.

    ``spread`` is the change that is still noise.
    """

    uv: Floats
    picture: NDArray[np.floating]
    rest: Floats
    weight: Floats
    spread: float


@dataclass(frozen=True)
class Warp:
    """Displacements (rows, columns, 2) in pixels at control points ``cell`` pixels apart."""

    shift: Floats
    cell: float

    def __call__(self, uv: Floats) -> Floats:
        """Moved pixel coordinates."""
        index, share = _corners(uv, self.shift.shape[:2], self.cell)
        moves = (self.shift.reshape(-1, 2)[index] * share[..., None]).sum(axis=1)
        return uv + moves


def align(
    sources: list[Source], visible: list[Visibility], gains: Floats, count: int
) -> list[Warp]:
    """Find a warp for every source; the photo keeps still.

    Args:
        sources: pictures.
        visible: what each sees of the points.
        gains: (s, 3) factors that bring the sources to one exposure.
        count: of points.
    """
    warps = [_still(source) for source in sources]
    for blur in _BLURS:
        low = [blurred(s.rgb, blur * _scale(s)) for s in sources]
        shown = [texels_at(low[k], warps[k](visible[k].uv)) * gains[k] for k in range(len(sources))]
        total, weight = np.zeros((count, 3)), np.zeros(count)
        for view, colour in zip(visible, shown, strict=True):
            total[view.seen] += view.weight[:, None] * colour
            weight[view.seen] += view.weight
        for k, (source, view) in enumerate(zip(sources, visible, strict=True)):
            others = weight[view.seen] - view.weight
            shared = others > _LEAST_WEIGHT
            if source.is_photo or not shared.any():
                continue
            rest = total[view.seen] - view.weight[:, None] * shown[k]
            wanted = rest[shared] / others[shared, None]
            both = np.minimum(view.weight, others)[shared]
            terms = [
                _Term(view.uv[shared], low[k] * gains[k], wanted - shown[k][shared], both, _COLOUR),
                _outline(source, warps[k], blur * _scale(source)),
            ]
            warps[k] = _step(warps[k], terms, _scale(source))
        del low, shown  # before the next are made: of a hundred views they are large
    return warps


def moved(warps: list[Warp], sources: list[Source], visible: list[Visibility]) -> float:
    """Root mean square of the warps over what is seen, in pixels of a picture of 320."""
    squares = [
        float(((((w(k.uv) - k.uv) / _scale(s)) ** 2).sum(axis=1) * k.weight).sum())
        for w, s, k in zip(warps, sources, visible, strict=True)
    ]
    weight = sum(float(view.weight.sum()) for view in visible)
    return float(np.sqrt(sum(squares) / max(weight, 1e-12)))


def _step(warp: Warp, terms: list[_Term], scale: float) -> Warp:
    """One Gauss-Newton step of a warp towards the wanted changes."""
    from scipy.sparse import bmat, csr_matrix, diags
    from scipy.sparse.linalg import spsolve

    shape = warp.shift.shape[:2]
    count = shape[0] * shape[1]
    prior = diags(np.full(count, 1 / (_WARP * scale) ** 2))
    prior = prior + _differences(shape) / (_CHANGE * scale) ** 2
    blocks = [[prior, csr_matrix((count, count))], [csr_matrix((count, count)), prior]]
    right = [-(prior @ warp.shift.reshape(-1, 2)[:, axis]) for axis in range(2)]
    for term in terms:
        if len(term.uv) == 0:  # a small picture may have no pixel on the silhouette
            continue
        index, share = _corners(term.uv, shape, warp.cell)
        rows = np.repeat(np.arange(len(index)), 4)
        basis = csr_matrix((share.ravel(), (rows, index.ravel())), (len(index), count))
        at = warp(term.uv)
        slopes = [texels_at(g, at).reshape(len(at), -1) for g in _gradients(term.picture)]
        # Cauchy: what only one side shows (occlusion, highlights) is not to be matched.
        doubt = 1 + (term.rest**2).mean(axis=1) / (2 * term.spread) ** 2
        weight = term.weight / doubt / term.spread**2
        for i in range(2):
            right[i] += basis.T @ (weight * (slopes[i] * term.rest).sum(axis=1))
            for j in range(2):
                joint = diags(weight * (slopes[i] * slopes[j]).sum(axis=1))
                blocks[i][j] = blocks[i][j] + basis.T @ joint @ basis
    change = spsolve(bmat(blocks).tocsc(), np.concatenate(right))
    change = change.reshape(2, -1).T.reshape(warp.shift.shape)
    return Warp(warp.shift + np.clip(change, -2 * scale, 2 * scale), warp.cell)


def _outline(source: Source, warp: Warp, blur: float) -> _Term:
    """The picture's silhouette against the surface's, at pixels near the latter."""
    surface = blurred(source.surface[..., None], blur)[..., 0]
    alpha = blurred(source.alpha[..., None], blur)
    near = (surface > 0.02) & (surface < 0.98)
    near[1::2] = False
    near[:, 1::2] = False
    rows, columns = np.nonzero(near)
    uv: Floats = np.stack([columns, rows], axis=1).astype(np.float64) + 0.5
    rest = (surface[near][:, None] - texels_at(alpha, warp(uv))).astype(np.float64)
    return _Term(uv, alpha, rest, np.ones(len(uv)), _OUTLINE)


def _still(source: Source) -> Warp:
    height, width = source.rgb.shape[:2]
    cell = max(height, width) / (_CONTROLS - 1)
    shape = int(np.ceil(height / cell)) + 1, int(np.ceil(width / cell)) + 1
    return Warp(np.zeros((*shape, 2)), cell)


def _scale(source: Source) -> float:
    return max(source.rgb.shape[:2]) / _REFERENCE_SIZE


def _gradients(picture: NDArray[np.floating]) -> tuple[F32, F32]:
    """Change of colour per pixel to the right and downwards."""
    down, across = np.gradient(picture, axis=(0, 1))
    return across.astype(np.float32), down.astype(np.float32)


def _corners(uv: Floats, shape: tuple[int, int], cell: float) -> tuple[NDArray[np.int64], Floats]:
    """Flat indices (s, 4) of the control points around, and their bilinear shares."""
    x = np.clip(uv[:, 0] / cell, 0, shape[1] - 1)
    y = np.clip(uv[:, 1] / cell, 0, shape[0] - 1)
    left = np.minimum(x.astype(np.int64), shape[1] - 2)
    top = np.minimum(y.astype(np.int64), shape[0] - 2)
    fx, fy = x - left, y - top
    first = top * shape[1] + left
    index = np.stack([first, first + 1, first + shape[1], first + shape[1] + 1], axis=1)
    share = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], axis=1)
    return index, share


def _differences(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Sum of squared differences between neighbouring control points, as a sparse matrix."""
    from scipy.sparse import diags, eye, kron

    def chain(count: int) -> object:
        ends = np.full(count, 2.0)
        ends[[0, -1]] = 1.0
        side = -np.ones(count - 1)
        return diags([side, ends, side], [-1, 0, 1])

    return kron(chain(shape[0]), eye(shape[1])) + kron(eye(shape[0]), chain(shape[1]))
