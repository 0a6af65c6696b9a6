"""Shape metrics: distances between two surfaces, and what kind of surface the prediction is.

Both surfaces are sampled evenly by area; distances are exact *point-to-surface* (to the nearest
point of the other mesh, not to its nearest sample), so that a mesh against itself scores 0. With
``p -> R`` the distances of the prediction's samples to the reference and ``r -> P`` the reverse:

``chamfer``
    (mean(p -> R) + mean(r -> P)) / 2 in world units; ``chamfer_pct`` the same in percent of the
    diagonal of the reference's bounding box.
``precision_N``, ``recall_N``, ``f_N``
    Share of p -> R, of r -> P, below N % of that diagonal, and their harmonic mean (F-score;
    Knapitsch et al. 2017, Tanks and Temples), for N = 1, 2, 5.
``normal_consistency``
    Mean |cos| between a sample's face normal and that of the nearest face, over both directions.
``hausdorff_99``
    The larger of the two 99 % quantiles, in world units.

``volume_iou``
    Intersection over union of the enclosed volumes, by points spread evenly in both bounding boxes;
    None unless both meshes are watertight.

The distances come twice: ``surface`` over every sample, ``visible`` over samples that can be seen
from outside along at least one of 48 directions spread over the sphere. References with inner walls
are to be judged by ``visible``. No alignment is made: both files must share one frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F64, I32
from img2mesh.evaluation import definitions
from img2mesh.geometry.mesh import (
    areas,
    bounds,
    face_normals,
    same_position,
    sample_surface,
    volume,
)
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.topology import pieces, topology
from img2mesh.io.read_mesh import Surface, load_surface

THRESHOLDS_PCT = (1, 2, 5)
_DIRECTIONS = 48
#: How far a visibility ray starts off the surface, along the normal and along itself, in diagonals:
#: enough to leave float32 noise behind, far below any feature that is measured.
_LIFT_NORMAL, _LIFT_RAY = 2e-4, 1e-4


def compare(pred: Path, reference: Path, *, samples: int, seed: int) -> dict[str, Any]:
    """All shape metrics of a mesh file against a reference file, as JSON values.

    Args:
        pred, reference: mesh files in one frame.
        samples: samples on each surface.
        seed: of the sampling.

    Raises:
        InputError: a file is missing, unreadable, empty or not finite.
    """
    ours, theirs = load_surface(pred), load_surface(reference)
    return {
        "pred": describe(ours),
        "reference": describe(theirs),
        "diagonal": theirs.diagonal,
        **distances(ours, theirs, samples=samples, seed=seed),
        "volume_iou": volume_iou(ours, theirs, samples=samples, seed=seed),
        "definitions": {**definitions.SHAPE, **definitions.VOLUME},
    }


def volume_iou(pred: Surface, reference: Surface, *, samples: int, seed: int) -> float | None:
    """Overlap of two enclosed volumes; None where one of the surfaces has holes or is empty."""
    if not (_watertight(pred) and _watertight(reference)):
        return None
    boxes = [bounds(s.vertices, s.faces) for s in (pred, reference)]
    low = np.minimum(boxes[0][0], boxes[1][0])
    high = np.maximum(boxes[0][1], boxes[1][1])
    points = np.random.default_rng(seed).uniform(low, high, (samples, 3))
    a, b = (Scene(s.vertices.astype(np.float32), s.faces).inside(points) for s in (pred, reference))
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else None


def _watertight(surface: Surface) -> bool:
    sewn = same_position(surface.vertices.astype(np.float32))[surface.faces]
    whole = (sewn != np.roll(sewn, 1, axis=1)).all(axis=1)
    return bool(topology(sewn[whole]).watertight)


def distances(pred: Surface, reference: Surface, *, samples: int, seed: int) -> dict[str, Any]:
    """The metrics of the module's docstring: ``surface``, ``visible`` and the visible shares."""
    rng = np.random.default_rng(seed)
    diagonal = reference.diagonal
    ours, theirs = _Sampled(pred, samples, rng), _Sampled(reference, samples, rng)
    to_reference, cos_pred = ours.against(theirs)
    to_pred, cos_reference = theirs.against(ours)
    seen_pred, seen_reference = ours.visible(diagonal), theirs.visible(diagonal)
    everything = np.ones(samples, bool)
    out: dict[str, Any] = {
        "visible_share_pred": float(seen_pred.mean()),
        "visible_share_reference": float(seen_reference.mean()),
    }
    for name, a, b in (
        ("surface", everything, everything),
        ("visible", seen_pred, seen_reference),
    ):
        a, b = (a if a.any() else everything), (b if b.any() else everything)
        cosine = (float(cos_pred[a].mean()) + float(cos_reference[b].mean())) / 2
        out[name] = {
            **summarise(to_reference[a], to_pred[b], diagonal),
            "normal_consistency": cosine,
        }
    return out


def summarise(to_reference: F64, to_pred: F64, diagonal: float) -> dict[str, float]:
    """Chamfer, Hausdorff and F-scores of two sets of distances (world units)."""
    chamfer = (float(to_reference.mean()) + float(to_pred.mean())) / 2
    out = {
        "chamfer": chamfer,
        "chamfer_pct": 100 * chamfer / diagonal,
        "pred_to_reference": float(to_reference.mean()),
        "reference_to_pred": float(to_pred.mean()),
        "hausdorff_99": float(max(np.quantile(to_reference, 0.99), np.quantile(to_pred, 0.99))),
    }
    for percent in THRESHOLDS_PCT:
        limit = percent / 100 * diagonal
        precision, recall = float((to_reference < limit).mean()), float((to_pred < limit).mean())
        both = precision + recall
        out[f"f_{percent}"] = 2 * precision * recall / both if both else 0.0
        out[f"precision_{percent}"], out[f"recall_{percent}"] = precision, recall
    return out


def describe(surface: Surface) -> dict[str, Any]:
    """Topology and size, judged after merging vertices that coincide (texture seams).

    ``watertight``: every edge has exactly two faces. ``components``: pieces connected by edges.
    ``euler_number``: V - E + F, 2 for one sphere-like body, 0 for a mug.
    """
    sewn = same_position(surface.vertices.astype(np.float32))[surface.faces]
    whole = (sewn != np.roll(sewn, 1, axis=1)).all(axis=1)
    area = areas(surface.vertices, surface.faces)
    found, part = topology(sewn[whole]), np.bincount(pieces(sewn[whole]), area[whole])
    low, high = bounds(surface.vertices, surface.faces)
    return {
        "faces": len(surface.faces),
        "vertices": len(surface.vertices),
        "watertight": found.watertight,
        "winding_consistent": found.winding_consistent,
        "components": found.components,
        "largest_component_share": float(part.max() / max(part.sum(), 1e-20)),
        "euler_number": found.euler_number,
        "area": float(area.sum()),
        "volume": volume(surface.vertices, surface.faces) if found.watertight else None,
        "extents": [float(x) for x in high - low],
        "textured": any(p.texture is not None for p in surface.paints),
    }


class _Sampled:
    """A surface with samples spread evenly over it."""

    def __init__(self, surface: Surface, count: int, rng: np.random.Generator) -> None:
        # float32 first: the ray caster works on these corners, and so must the samples.
        vertices = surface.vertices.astype(np.float32)
        self.face_normals = face_normals(vertices, surface.faces)
        self.scene = Scene(vertices, surface.faces)
        self.points, face = sample_surface(vertices, surface.faces, count, rng)
        self.normals: F64 = self.face_normals[face]

    def against(self, other: _Sampled) -> tuple[F64, F64]:
        """Distance of each sample to the other surface, and |cos| between the normals there."""
        nearest, face = other.scene.closest(self.points)
        cosine = np.abs((self.normals * other.face_normals[face]).sum(axis=1))
        return np.linalg.norm(nearest - self.points, axis=1), cosine

    def visible(self, diagonal: float) -> NDArray[np.bool_]:
        """Which samples see infinity along one of the directions, from either side."""
        seen = np.zeros(len(self.points), bool)
        for direction in sphere_directions(_DIRECTIONS):
            todo: I32 = np.flatnonzero(~seen).astype(np.int32)
            if not len(todo):
                break
            normal = self.normals[todo]
            side = np.sign(normal @ direction)[:, None]
            start = self.points[todo] + diagonal * (
                side * normal * _LIFT_NORMAL + direction * _LIFT_RAY
            )
            distance, _ = self.scene.cast(start, np.broadcast_to(direction, start.shape))
            seen[todo[np.isinf(distance)]] = True
        return seen


def sphere_directions(count: int) -> F64:
    """(count, 3) unit vectors spread evenly: Fibonacci spiral about +y."""
    i = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * i / count), np.pi * (1 + 5**0.5) * i
    return np.stack(
        [np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], axis=1
    )
