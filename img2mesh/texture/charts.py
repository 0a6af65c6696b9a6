"""Where to cut a surface: few, compact charts, each facing about one way.

Faces are labelled with one of six directions found by clustering the smoothed normals (spherical
k-means), the labels are smoothed along the surface (iterated conditional modes on a Potts model,
Besag 1986), and connected faces of one label are a chart. A region that faces one way can be laid
flat with little stretch, and there are few such regions: three to ten times fewer than charts
grown face by face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from img2mesh.core.arrays import I32
from img2mesh.geometry.mesh import (
    Ints,
    areas,
    by_appearance,
    connected,
    face_normals,
    half_edges,
    shared_edges,
    symmetric,
    unit,
)

#: Neighbours' say in a face's label against its own normal: smooth borders (at 1 a border may
#: zigzag by a face), yet an edge of 90 degrees stays a border.
_SMOOTHNESS = 3.0

#: Steps of diffusion that free the normals of the decimation's facets.
_NORMAL_STEPS = 4

_CLUSTER_ROUNDS, _LABEL_ROUNDS, _MERGE_ROUNDS = 4, 30, 10

#: Regions below this share of the surface join their neighbour with the longest common border.
_LEAST_AREA = 1e-3


@dataclass(frozen=True)
class _Dual:
    """Faces as nodes: ``one[k]`` and ``other[k]`` share an edge of length ``length[k]``."""

    one: Ints
    other: Ints
    length: NDArray[np.float64]
    normal: NDArray[np.float64]
    area: NDArray[np.float64]


def cut(vertices: NDArray[np.floating], faces: I32) -> Ints:
    """Chart number of every face, counted from 0 in the order of first appearance.

    Args:
        vertices: (n, 3).
        faces: (m, 3), closed or not, edge-manifold.

    Returns:
        (m,) chart numbers; every chart is connected across edges.
    """
    dual = _dual(vertices, faces)
    label = _labels(dual)
    for _ in range(_MERGE_ROUNDS):
        chart = _regions(dual, label)
        merged = _without_small(dual, label, chart)
        if np.array_equal(merged, label):
            break
        label = merged
    return _regions(dual, label)


def _dual(vertices: NDArray[np.floating], faces: I32) -> _Dual:
    one, other = shared_edges(faces)
    start, end = (vertices[ends[one]].astype(np.float64) for ends in half_edges(faces))
    return _Dual(
        one // 3,
        other // 3,
        np.linalg.norm(start - end, axis=1),
        face_normals(vertices, faces),
        areas(vertices, faces),
    )


def _labels(dual: _Dual) -> Ints:
    """(m,) direction 0..5 of every face."""
    weight = symmetric(dual.one, dual.other, dual.length, len(dual.area))
    total = np.maximum(np.asarray(weight.sum(axis=1)).ravel(), 1e-30)
    mean: csr_matrix = csr_matrix(weight.multiply(1 / total[:, None]))
    smooth = dual.normal * dual.area[:, None]
    for _ in range(_NORMAL_STEPS):
        smooth = (smooth + mean @ smooth) / 2
    smooth = unit(smooth)
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    for _ in range(_CLUSTER_ROUNDS):
        label = (smooth @ directions.T).argmax(axis=1)
        for k in range(6):
            middle = (smooth * dual.area[:, None])[label == k].sum(axis=0)
            if np.linalg.norm(middle) > 0:
                directions[k] = middle / np.linalg.norm(middle)
    agreement = smooth @ directions.T
    label = agreement.argmax(axis=1)
    for _ in range(_LABEL_ROUNDS):
        better = (agreement + _SMOOTHNESS * (mean @ np.eye(6)[label])).argmax(axis=1)
        if np.array_equal(better, label):
            break
        label = better
    return label.astype(np.int64)


def _regions(dual: _Dual, label: Ints) -> Ints:
    """(m,) number of the connected region of one label that each face lies in."""
    same = label[dual.one] == label[dual.other]
    return by_appearance(connected(dual.one[same], dual.other[same], len(label)))


def _without_small(dual: _Dual, label: Ints, region: Ints) -> Ints:
    """Labels with every small region given that of the neighbour it shares most border with."""
    count = int(region.max()) + 1
    area = np.bincount(region, dual.area, count)
    small = area < _LEAST_AREA * area.sum()
    own = np.empty(count, np.int64)
    own[region] = label
    cross = region[dual.one] != region[dual.other]
    one, other = region[dual.one[cross]], region[dual.other[cross]]
    border = symmetric(one, other, dual.length[cross], count)
    new = own.copy()
    for k in np.flatnonzero(small):
        begin, end = border.indptr[k], border.indptr[k + 1]
        if end > begin:
            new[k] = own[border.indices[begin + int(np.argmax(border.data[begin:end]))]]
    return new[region]
