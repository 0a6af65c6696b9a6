"""The discrete Poisson equation on a masked pixel grid: thickness and membrane colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, Mask


def solve(unknown: Mask, *, source: float, known: NDArray[np.floating] | None = None) -> F32:
    """Solve ``laplacian(u) = source`` on the pixels of ``unknown`` (pixel pitch 1).

    Args:
        unknown: (h, w) where to solve. Pixels beyond the picture do not exist (zero flux) when
            ``known`` is given, and are 0 otherwise.
        source: right-hand side.
        known: (h, w, c) boundary values; NaN marks pixels that take no part (zero flux towards
            them). None: 0 everywhere outside, one channel.

    Returns:
        (h, w, c) float32 solution, with ``known`` (or 0) outside ``unknown``.
    """
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import splu

    height, width = unknown.shape
    zero_outside = known is None
    values = np.zeros((height, width, 1)) if known is None else np.asarray(known, np.float64)
    result = np.nan_to_num(values, nan=0.0)
    count = int(unknown.sum())
    if count == 0:
        return result.astype(np.float32)
    number = np.full((height + 2, width + 2), -1, np.int64)
    number[1:-1, 1:-1][unknown] = np.arange(count)
    exists = np.pad(~np.isnan(values[..., 0]) | unknown, 1, constant_values=zero_outside)
    edge = np.pad(result, ((1, 1), (1, 1), (0, 0)))
    rows, columns = np.nonzero(np.pad(unknown, 1))
    degree = np.zeros(count)
    right = np.full((count, values.shape[-1]), -float(source))
    i, j = [], []
    for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = rows + dr, columns + dc
        degree += exists[r, c]
        inner = number[r, c] >= 0
        i.append(np.nonzero(inner)[0])
        j.append(number[r, c][inner])
        right += np.where((exists[r, c] & ~inner)[:, None], edge[r, c], 0.0)
    a, b = np.concatenate(i), np.concatenate(j)
    # The tiny diagonal keeps an island without any known neighbour solvable (it becomes 0).
    matrix = diags(degree + 1e-9) - coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count))
    solved = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A").solve(right)
    result[unknown] = solved.reshape(count, -1)
    return result.astype(np.float32)
