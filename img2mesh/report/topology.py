"""What the surface is made of: closed, manifold, in how many pieces."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Topology:
    """Measures of an indexed triangle surface.

    Attributes:
        watertight: every edge belongs to exactly two faces.
        winding_consistent: neighbouring faces run through their common edge in opposite ways.
        manifold: no edge has more than two faces, and around every vertex the faces form one fan.
        components: pieces that hang together through common edges.
        euler_number: vertices - edges + faces; 2 for a sphere, 0 for a torus.
    """

    watertight: bool
    winding_consistent: bool
    manifold: bool
    components: int
    euler_number: int

    def as_dict(self) -> dict[str, Any]:
        """The measures by name."""
        return asdict(self)


def topology(faces: NDArray[np.integer]) -> Topology:
    """Measure a surface.

    Args:
        faces: (m, 3) indices into *sewn* vertices (equal positions, equal index).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    faces = np.asarray(faces, np.int64)
    count = len(faces)
    used, compact = np.unique(faces, return_inverse=True)
    compact = compact.reshape(-1, 3)
    # Half-edge h = 3 f + i runs from corner (f, i) to corner (f, i + 1).
    start = compact.reshape(-1)
    end = compact[:, (1, 2, 0)].reshape(-1)
    corner = np.arange(3 * count)
    next_corner = corner.reshape(-1, 3)[:, (1, 2, 0)].reshape(-1)
    low, high = np.minimum(start, end), np.maximum(start, end)
    key = low * len(used) + high
    _, sizes = np.unique(key, return_counts=True)
    directed = np.unique(start * len(used) + end, return_counts=True)[1]

    # Half-edges of one edge stand side by side when sorted: each is linked to the next one.
    order = np.argsort(key, kind="stable")
    same = key[order[1:]] == key[order[:-1]]
    a, b = order[:-1][same], order[1:][same]

    def pieces(i: NDArray[np.int64], j: NDArray[np.int64], nodes: int) -> int:
        links = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(nodes, nodes))
        return int(connected_components(links, directed=False)[0])

    # Linking the corners at both ends of every common edge leaves one piece for each fan.
    forward = start < end
    at_low = np.where(forward, corner, next_corner)
    at_high = np.where(forward, next_corner, corner)
    fans = pieces(
        np.concatenate([at_low[a], at_high[a]]), np.concatenate([at_low[b], at_high[b]]), 3 * count
    )
    return Topology(
        watertight=bool((sizes == 2).all()),
        winding_consistent=bool((directed == 1).all()),
        manifold=bool((sizes <= 2).all() and (low != high).all() and fans == len(used)),
        components=pieces(a // 3, b // 3, count),
        euler_number=len(used) - len(sizes) + count,
    )
