"""Depth maps from normals alone: integrated view by view, placed by what the other views see.

Integration leaves one unknown offset for each smooth patch of a view. It is found by sweeping the
whole patch along the rays and comparing world normals and colours with the other views, twice: the
second time it is known what hides what. Last, the depths of the views are checked against each
other, and whoever contradicts what the others see is overruled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import scene_bounds
from img2mesh.field.consensus import Surfaces, Word, consensus, disagreement_deg
from img2mesh.field.integration import Lattice, integrate, lattice
from img2mesh.field.pictures import Supervised
from img2mesh.field.scanlines import aggregate
from img2mesh.field.sweep import Evidence, costs
from img2mesh.geometry.silhouettes import Silhouette

#: Pixel spacing of the sweeps: offsets belong to patches, not to pixels.
_COARSE = 4
#: Pixel spacing of the depth that comes out, before it is spread to all pixels.
_FINE = 2
#: Spacing of the tried offsets, logarithm of depth.
_SPACING = 0.004
#: Pull of an offset found by the sweep against the ties between neighbours.
_PULL = 0.1
#: Depths that differ by less are the same, part of the object's diagonal.
_SAME = 0.012
#: Largest median angle between two views' normals of one point at which the depths are handed on:
#: integrated, an error grows with every pixel. Smooth errors of 5 degrees leave nine depths of ten
#: within 1 % of the diagonal, errors of 15 degrees one half; the normals still guide the fit then.
_LARGEST_ERROR_DEG = 8.0
#: Least trust: depths below it are not handed on.
_BELIEVED = 0.2


@dataclass(frozen=True)
class Guess:
    """What is believed about one view's depth.

    Attributes:
        depth: (h, w) float32 z-depth, NaN where nothing is known.
        trust: (h, w) float32 in [0, 1].
    """

    depth: F32
    trust: F32


def with_guesses(
    pictures: Sequence[Supervised], outlines: Sequence[Silhouette], device: torch.device
) -> tuple[Supervised, ...]:
    """The pictures with the depth that their normals suggest, where they agree on it."""
    guesses = guess_depths(pictures, outlines, device)
    return tuple(
        p if g is None else replace(p, depth=g.depth, trust=g.trust)
        for p, g in zip(pictures, guesses, strict=True)
    )


def guess_depths(
    pictures: Sequence[Supervised], outlines: Sequence[Silhouette], device: torch.device
) -> tuple[Guess | None, ...]:
    """Depth of every view that has normals; None for the others.

    Args:
        pictures: posed views.
        outlines: their contour distances.
        device: where the sweep runs.
    """
    known = [k for k, p in enumerate(pictures) if p.normals is not None and p.normals.any()]
    out: list[Guess | None] = [None] * len(pictures)
    if len(known) < 2:
        return tuple(out)
    chosen = [pictures[k] for k in known]
    evidence = Evidence.of(chosen, [outlines[k] for k in known], normal_spread=0.2, device=device)
    size = float(np.linalg.norm(evidence.box.voxel * np.array(evidence.box.shape)))
    coarse = [_lattice(p, _COARSE) for p in chosen]
    placed = _place(evidence, coarse, _SAME * size)
    fine = [_lattice(p, _FINE) for p in chosen]
    maps = [_finish(f, c, *p) for f, c, p in zip(fine, coarse, placed, strict=True)]
    same = _SAME * size
    surfaces = Surfaces.of(evidence.cameras, fine, maps)
    if disagreement_deg(surfaces, same) > _LARGEST_ERROR_DEG:
        return tuple(out)
    maps = [_again(f, w) for f, w in zip(fine, consensus(surfaces, same), strict=True)]
    words = consensus(Surfaces.of(evidence.cameras, fine, maps), same)
    for k, picture, pixels, word in zip(known, chosen, fine, words, strict=True):
        out[k] = _spread(picture, pixels, np.exp(word.log_depth), word.trust)
    return tuple(out)


def _lattice(picture: Supervised, stride: int) -> Lattice:
    assert picture.normals is not None
    camera = picture.camera
    mask = picture.view.alpha > 0.5
    return lattice(mask, picture.normals, camera.directions(), camera.fx, stride)


def _place(evidence: Evidence, views: Sequence[Lattice], same: float) -> list[tuple[F64, F64]]:
    """Log depth (n,) and trust (n,) of every pixel of the coarse lattices."""
    centre, _ = scene_bounds(evidence.cameras)
    start = []
    for pixels, camera in zip(views, evidence.cameras, strict=True):
        middle = np.log(float((centre - camera.origin) @ camera.forward))
        nothing = np.zeros(len(pixels))
        start.append(integrate(pixels, nothing + middle, nothing))
    placed: list[tuple[F64, F64]] = []
    hidden: list[Tensor] | None = None
    for _ in range(2):
        placed = []
        for k, (pixels, surface) in enumerate(zip(views, start, strict=True)):
            if not len(pixels):
                placed.append((np.zeros(0), np.zeros(0)))
                continue
            near, far = evidence.depth_range(k)
            low = np.log(near) - surface.log_depth.max()
            high = np.log(far) - surface.log_depth.min()
            offsets = np.arange(low, high + _SPACING, _SPACING)
            cost = costs(evidence, k, pixels, surface.log_depth, offsets, hidden, same)
            found, least = _minimum(aggregate(cost, pixels, surface.link), cost)
            placed.append((surface.log_depth + low + _SPACING * found, (1 - 2 * least).clip(0)))
        hidden = [_limit(p, np.exp(z), evidence) for p, (z, _) in zip(views, placed, strict=True)]
    return placed


def _minimum(total: Tensor, cost: Tensor) -> tuple[F64, F64]:
    """Where aggregated costs (n, k) are least, in steps, and the plain cost there."""
    best = total.argmin(1)
    inner = best.clamp(1, max(1, total.shape[1] - 2))
    below, at, above = (total.gather(1, (inner + d)[:, None])[:, 0] for d in (-1, 0, 1))
    bend = below - 2 * at + above
    shift = torch.where((bend > 1e-6) & (inner == best), 0.5 * (below - above) / bend, 0.0)
    least = cost.gather(1, best[:, None])[:, 0]
    found = best + shift.clamp(-0.5, 0.5)
    return found.cpu().numpy().astype(np.float64), least.cpu().numpy().astype(np.float64)


def _limit(pixels: Lattice, depth: F64, evidence: Evidence) -> Tensor:
    """(h, w) depth beyond which a view sees nothing: the farthest of the pixels around."""
    from scipy.ndimage import maximum_filter

    farthest = maximum_filter(pixels.picture(depth, -np.inf), 3)
    farthest[~np.isfinite(farthest)] = np.inf
    return torch.as_tensor(farthest, dtype=torch.float32, device=evidence.hull.device)


def _finish(fine: Lattice, coarse: Lattice, log_depth: F64, trust: F64) -> F64:
    """Integrate the finer lattice, tied to the placed depths of the coarser one."""
    factor = coarse.stride // fine.stride
    anchor = np.full(fine.where.shape, np.nan)
    pull = np.zeros(fine.where.shape)
    anchor[::factor, ::factor] = coarse.picture(log_depth)
    pull[::factor, ::factor] = coarse.picture(_PULL * (0.1 + trust), 0.0)
    return integrate(fine, anchor[fine.where], pull[fine.where]).log_depth


def _again(pixels: Lattice, word: Word) -> F64:
    """Integrate once more, tied to what the views agree on."""
    return integrate(pixels, word.log_depth, _PULL * word.trust**2).log_depth


def _spread(picture: Supervised, pixels: Lattice, depth: F64, trust: F64) -> Guess:
    """From the lattice to all pixels of the mask, along the likest neighbour's tangent plane."""
    assert picture.normals is not None
    ray = picture.camera.directions()
    height, width = ray.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    lattice_depth, lattice_trust = pixels.picture(depth), pixels.picture(trust, 0.0)
    normal, own = (np.zeros((*pixels.where.shape, 3)) for _ in range(2))
    normal[pixels.where], own[pixels.where] = pixels.normal, pixels.ray
    best = np.full((height, width), np.inf)
    out, believed = np.full((height, width), np.nan), np.zeros((height, width))
    s = pixels.stride
    for down in (0, 1):
        for right in (0, 1):
            i = np.minimum(rows // s + down * (rows % s > 0), pixels.where.shape[0] - 1)
            j = np.minimum(columns // s + right * (columns % s > 0), pixels.where.shape[1] - 1)
            n = normal[i, j]
            facing = np.minimum((n * ray).sum(-1), -0.05)
            ratio = np.minimum((n * own[i, j]).sum(-1), -0.05) / facing
            z = lattice_depth[i, j] * ratio.clip(0.97, 1.03)
            unlike = ((picture.normals - n) ** 2).sum(-1)
            unlike = unlike + 0.01 * ((rows - i * s) ** 2 + (columns - j * s) ** 2)
            better = np.isfinite(z) & (unlike < best)
            best[better], out[better] = unlike[better], z[better]
            believed[better] = lattice_trust[i, j][better]
    out[(picture.view.alpha <= 0.5) | (believed < _BELIEVED)] = np.nan
    return Guess(out.astype(np.float32), believed.astype(np.float32))
