"""What kind of surface faces make: closed, manifold, in how many pieces. Connectivity alone.

A surface is closed if every edge has two faces, edge-manifold if none has more, and vertex-manifold
if the faces around every vertex form a single fan.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.geometry.mesh import Ints, connected, half_edges, shared_edges


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
    used, renumbered = np.unique(faces, return_inverse=True)
    faces = renumbered.reshape(-1, 3)
    start, end = half_edges(faces)
    one, other = shared_edges(faces)
    # k faces on one edge make a chain of k - 1 pairs.
    count = len(start) - len(one)
    crowded = bool((other[:-1] == one[1:]).any())
    degenerate = bool((start == end).any())
    fans = int(fans_of(faces, one, other).max()) + 1
    return Topology(
        watertight=not crowded and len(one) == count,
        winding_consistent=not crowded and bool((start[one] != start[other]).all()),
        manifold=not crowded and not degenerate and fans == len(used),
        components=int(connected(one // 3, other // 3, len(faces)).max()) + 1,
        euler_number=len(used) - count + len(faces),
    )


def defects(faces: NDArray[np.integer]) -> str:
    """Name what keeps a surface from being a closed, oriented manifold; empty if nothing does."""
    if (faces == np.roll(faces, -1, axis=1)).any():
        return "a face names one vertex twice"
    found = topology(faces)
    if not found.winding_consistent:
        return "an edge has more than two faces"
    if not found.watertight:
        return "an edge has only one face"
    return "" if found.manifold else "faces touch in a single point"


def pieces(faces: NDArray[np.integer]) -> Ints:
    """(m,) number of the piece each face belongs to; faces of one piece are joined across edges."""
    one, other = shared_edges(faces)
    return connected(one // 3, other // 3, len(faces))


def fans_of(faces: NDArray[np.integer], one: Ints, other: Ints) -> Ints:
    """(3m,) number of the fan of faces that each face corner belongs to.

    Args:
        faces: (m, 3).
        one, other: half-edges that lie on one edge, whose faces are taken for neighbours there.
    """
    start, end = half_edges(faces)
    corner = np.arange(len(start))
    after = corner - corner % 3 + (corner + 1) % 3
    # Joined at both ends of the edge, whichever way either half-edge runs.
    at_low, at_high = np.where(start < end, [corner, after], [after, corner])
    return connected(
        np.concatenate([at_low[one], at_high[one]]),
        np.concatenate([at_low[other], at_high[other]]),
        len(start),
    )
