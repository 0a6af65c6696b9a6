"""Taubin's filter: trimesh's, and the copy it replaced."""

from __future__ import annotations

import numpy as np
import trimesh

from img2mesh.meshing.smoothing import taubin


def test_taubin_is_the_old_copy_to_float32() -> None:
    body = trimesh.creation.torus(1.0, 0.3)
    noise = np.random.default_rng(0).normal(0, 0.01, body.vertices.shape)
    vertices, faces = (body.vertices + noise).astype(np.float32), body.faces.astype(np.int32)
    plain = trimesh.Trimesh(vertices, faces, process=False)
    neighbours = [np.array(n) for n in plain.vertex_neighbors]
    moved = vertices.astype(np.float64)
    for _ in range(3):
        for factor in (0.5, -0.5263):
            mean = np.stack([moved[n].mean(axis=0) for n in neighbours])
            moved = moved + factor * (mean - moved)
    np.testing.assert_allclose(taubin(vertices, faces, steps=3), moved, atol=2e-7)
    np.testing.assert_array_equal(taubin(vertices, faces, steps=0), vertices)
