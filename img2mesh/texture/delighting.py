"""The views' light taken out of the texture, as far as pictures alone can tell.

A spot's colour is what it is made of times the light that falls on it. Light from all around varies
smoothly with the direction a surface faces; second-order spherical harmonics of the normal hold
all but a hundredth of it (Ramamoorthi and Hanrahan 2001). Materials change abruptly (the Retinex
assumption, Land and McCann 1971). So between neighbouring vertices the change of log brightness is
that of the light, except at the edges of things painted on, and a robust fit of the nine numbers
ignores those.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, I32
from img2mesh.geometry.mesh import edges
from img2mesh.imaging.colour import linear_to_srgb, srgb_to_linear

Floats = NDArray[np.float64]

_ROUNDS = 20

#: Pull of every coefficient towards no light at all, as a share of the data's own weight: what no
#: edge tells stays as it is.
_RIDGE = 0.02

#: Light is never made out to vary by more than this factor from its mean, either way.
_MOST = 1.8

#: Darkest linear brightness that is listened to: below, noise is amplified.
_DARK = 0.01


def light(faces: I32, normals: F32, colours: F32, seen: NDArray[np.bool_]) -> Floats:
    """Find the light as eight coefficients of log brightness over :func:`_harmonics`.

    Args:
        faces: (m, 3).
        normals: (n, 3) unit.
        colours: (n, 3) sRGB vertex colours.
        seen: (n,) which vertices the views show.

    Returns:
        (8,) coefficients; all 0 where too little is seen.
    """
    a, b = edges(faces)
    both = seen[a] & seen[b]
    a, b = a[both], b[both]
    if len(a) < 64:
        return np.zeros(8)
    brightness = np.log(np.maximum(srgb_to_linear(np.clip(colours, 0, 1)).mean(axis=1), _DARK))
    basis = _harmonics(normals)
    change, right = basis[a] - basis[b], brightness[a] - brightness[b]
    found = np.zeros(8)
    scale = (change**2).mean(axis=0).mean() + 1e-12
    weight = np.ones(len(a))
    for _ in range(_ROUNDS):
        matrix = (change * weight[:, None]).T @ change / len(a)
        matrix += _RIDGE * scale * weight.mean() * np.eye(8)
        found = np.linalg.solve(matrix, (change * weight[:, None]).T @ right / len(a))
        rest = np.abs(right - change @ found)
        spread = 1.5 * float(np.median(rest)) + 1e-4
        weight = 1 / (1 + (rest / spread) ** 2)  # Cauchy: an edge of paint counts for nothing
    return found


def without_light(colours: F32, normals: F32, found: Floats, *, level: float = 0.0) -> F32:
    """Divide the light out of sRGB colours.

    Args:
        colours: (k, 3) sRGB.
        normals: (k, 3) unit.
        found: of :func:`light`.
        level: mean log light, so that the whole becomes neither brighter nor darker.
    """
    shade = np.clip(_harmonics(normals) @ found - level, -np.log(_MOST), np.log(_MOST))
    return linear_to_srgb(srgb_to_linear(np.clip(colours, 0, 1)) / np.exp(shade)[:, None])


def mean_level(normals: F32, found: Floats, weight: NDArray[np.floating]) -> float:
    """Weighted mean log light over vertices (n,)."""
    return float(np.average(_harmonics(normals) @ found, weights=np.maximum(weight, 1e-30)))


def _harmonics(normals: F32) -> Floats:
    """(k, 8) real spherical harmonics of orders one and two, without their constants."""
    x, y, z = normals.astype(np.float64).T
    return np.stack([x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], axis=1)
