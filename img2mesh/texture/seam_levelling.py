"""Low frequencies made to agree across views, on the mesh's vertices.

Seam levelling in the gradient domain (Perez et al. 2003; on meshes Lempitsky and Ivanov 2007,
Waechter et al. 2014), in a continuous form: views are blended, not cut, so the wanted colour
difference along an edge is that of the blend of the views which see both its ends, and across the
photo's border that of the views which count at both. The vertices' colours are the least-squares
answer, held to the photo where it sees and loosely to the blend elsewhere; unseen vertices have no
wish of their own and become a smooth membrane over the surface.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, I32
from img2mesh.geometry.mesh import edges, symmetric

#: How strongly a vertex is held to its blended colour, per unit of edge weight: where the photo
#: sees it, where other views do (a step at a seam fades over about 1 / sqrt(hold) edges), and where
#: nothing does.
PHOTO_HOLD, VIEW_HOLD, UNSEEN_HOLD = 10.0, 0.3, 1e-6

#: The photo's border runs along edges over which its share changes by more than this.
_BORDER = 0.02

#: Expected spread of the views' exposures, error of an overlap's mean colour (both logarithmic),
#: and the share of the vertices from which an overlap counts as wide.
_GAIN_SPREAD, _MEAN_ERROR, _WIDE = 0.05, 0.02, 0.05

#: Weight up to which a view sees a spot too flatly to be compared: sheen and mixed pixels.
_GRAZING = 0.15

#: Exposure of a view relative to the others is corrected within these bounds.
_GAIN_RANGE = (0.7, 1.4)


def exposure_gains(
    colours: NDArray[np.float64], weights: NDArray[np.float64], photo: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Find the factor per view and channel that makes views agree where they overlap.

    Least squares over pairs of views on the logarithm of their mean colour in the overlap, with a
    prior for equal exposures (as in panorama stitching, Brown and Lowe 2007), the photo's factor
    fixed at 1; without a photo the factors' mean is 1.

    Args:
        colours: (s, n, 3) what each source shows at each vertex.
        weights: (s, n) confidence of each source there; 0 unseen.
        photo: (s,) which of the sources is the photo.

    Returns:
        (s, 3) factors.
    """
    count = len(colours)
    matrix = np.eye(count) / _GAIN_SPREAD**2
    right = np.zeros((count, 3))
    for i in range(count):
        for j in range(i):
            common = np.maximum(np.minimum(weights[i], weights[j]) - _GRAZING, 0)
            overlap = common.sum()
            if overlap <= 0:
                continue
            means = [common @ np.maximum(colours[k], 0.02) / overlap for k in (i, j)]
            weight = 1 / (1 + (_WIDE * colours.shape[1] / overlap) ** 2) / _MEAN_ERROR**2
            wish = weight * np.log(means[1] / means[0])  # log gain_i - log gain_j
            matrix[[i, j], [i, j]] += weight
            matrix[[i, j], [j, i]] -= weight
            right[i] += wish
            right[j] -= wish
    if photo.any():
        matrix[photo, photo] += 1e6
    log_gain = np.linalg.solve(matrix, right)
    if not photo.any():
        log_gain -= log_gain.mean(axis=0)
    return np.clip(np.exp(log_gain), *_GAIN_RANGE)


def level_seams(
    faces: I32,
    colours: NDArray[np.float64],
    shares: NDArray[np.float64],
    photo: NDArray[np.bool_],
) -> tuple[F32, F32]:
    """Solve for vertex colours that follow the views' gradients.

    Args:
        faces: (m, 3) closed surface.
        colours: (s, n, 3) what each source shows at each vertex, low-passed.
        shares: (s, n) normalised weight of each source, all 0 where unseen.
        photo: (s,) which of the sources is the photo.

    Returns:
        colour: (n, 3) the levelled low-frequency colour of every vertex, seen or not.
        correction: (n, 3) what to add to the plain blend of the views.
    """
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    count = shares.shape[1]
    a, b = edges(faces)
    common = np.minimum(shares[:, a], shares[:, b])
    border = np.abs(shares[photo][:, a] - shares[photo][:, b]).sum(axis=0) > _BORDER
    ends = []
    for end in (a, b):
        part = np.where(border, common, shares[:, end] * (common > 0))
        mean = np.einsum("se,sec->ec", part, colours[:, end])
        ends.append(mean / np.maximum(part.sum(axis=0), 1e-9)[:, None])
    wanted = ends[0] - ends[1]
    total = common.sum(axis=0)
    # Where no view sees both ends the wish is "no difference", and only a weak one.
    weight = np.where(total > 1e-3, 0.1 + total, 0.1)
    blend = np.einsum("sv,svc->vc", shares, colours)
    seen = shares.sum(axis=0) > 0
    in_photo = shares[photo].sum(axis=0) if photo.any() else np.zeros(count)
    hold = np.where(seen, VIEW_HOLD + PHOTO_HOLD * in_photo, UNSEEN_HOLD)
    mean = blend[seen].mean(axis=0) if seen.any() else np.full(3, 0.5)
    target = np.where(seen[:, None], blend, mean)
    adjacency = symmetric(a, b, weight, count)
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    laplacian = (diags(degree + hold) - adjacency).tocsc()
    right = hold[:, None] * target
    for k in range(3):
        flow = weight * wanted[:, k]
        right[:, k] += np.bincount(a, flow, count) - np.bincount(b, flow, count)
    colour = splu(laplacian).solve(right)
    correction = np.where(seen[:, None], colour - blend, 0.0)
    if seen.any() and not seen.all():
        correction = _carry_on(correction, seen, adjacency)
    return np.clip(colour, 0, 1).astype(np.float32), correction.astype(np.float32)


def _carry_on(
    correction: NDArray[np.float64], seen: NDArray[np.bool_], adjacency: object, rings: int = 4
) -> NDArray[np.float64]:
    """Continue a correction a few rings into the unseen, where faces straddle the border."""
    from scipy.sparse import csr_matrix

    pattern = csr_matrix(adjacency)
    known = seen.copy()
    for _ in range(rings):
        votes = np.asarray(pattern @ known.astype(np.float64)).ravel()
        fresh = ~known & (votes > 0)
        spread = pattern @ (correction * known[:, None])
        correction[fresh] = spread[fresh] / votes[fresh, None]
        known |= fresh
    return correction
