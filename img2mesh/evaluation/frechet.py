"""The Frechet distance between two sets of features (Heusel et al. 2017).

Which network made the features is the caller's business: the number is FID only for the pool
features of the usual Inception, resized as its authors do. With fewer pictures than features the
covariance is singular and the number too high; it compares runs of equal size, not papers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F64
from img2mesh.errors import InputError

#: Pictures (n, h, w, 3) in [0, 1] -> features (n, d).
Features = Callable[[NDArray[Any]], NDArray[Any]]


def frechet_distance(mean_a: F64, cov_a: F64, mean_b: F64, cov_b: F64) -> float:
    """Of two Gaussians: ``|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))``.

    The trace of the root is the sum of the roots of the eigenvalues of ``A B A`` with A the
    symmetric root of C_a: no complex parts, whatever the rank.
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = np.linalg.eigvalsh(root @ cov_b @ root)
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.clip(product, 0, None)).sum()
    return float(max(((mean_a - mean_b) ** 2).sum() + trace, 0.0))


def of_features(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Distance between two sets of features (n, d), (m, d), with unbiased covariances.

    Raises:
        InputError: fewer than two rows on a side, or other widths.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if min(len(a), len(b)) < 2 or a.shape[1:] != b.shape[1:] or a.ndim != 2:
        raise InputError(
            f"a Frechet distance needs two sets of at least two features of one width, got "
            f"{a.shape} and {b.shape}"
        )
    return frechet_distance(
        a.mean(0), np.atleast_2d(np.cov(a.T)), b.mean(0), np.atleast_2d(np.cov(b.T))
    )


def of_pictures(a: Sequence[NDArray[Any]], b: Sequence[NDArray[Any]], features: Features) -> float:
    """Distance between two lists of pictures (h, w, 3) under a feature network."""
    return of_features(_all(a, features), _all(b, features))


def _all(pictures: Sequence[NDArray[Any]], features: Features) -> F64:
    return np.concatenate([np.asarray(features(one[None]), np.float64) for one in pictures])


def onnx_features(file: Path) -> Features:
    """A feature network in an ONNX file: data, no code.

    It takes (1, 3, h, w) RGB in [0, 1] at the size its input declares (299 where it leaves it
    free) and gives (1, d), or a map whose positions are averaged.

    Raises:
        InputError: missing, or no such network.
    """
    if not file.is_file():
        raise InputError(f"{file} is missing: give a feature network as an ONNX file")
    import cv2
    import onnxruntime

    try:
        session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
    except Exception as cause:  # onnxruntime's own types
        raise InputError(f"{file} cannot be read as an ONNX network: {cause}") from cause
    size = [s if isinstance(s, int) and s > 0 else 299 for s in given.shape[2:4]]
    if len(given.shape) != 4 or given.shape[1] not in (3, "3"):
        raise InputError(f"{file} takes {given.shape}, expected pictures (n, 3, h, w)")

    def features(pictures: NDArray[Any]) -> NDArray[Any]:
        resized = [
            cv2.resize(np.asarray(p, np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)
            for p in pictures
        ]
        out = [
            np.asarray(session.run(None, {given.name: p.transpose(2, 0, 1)[None].copy()})[0])
            for p in resized
        ]
        found: NDArray[Any] = np.concatenate(out)
        return found.mean(axis=tuple(range(2, found.ndim))) if found.ndim > 2 else found

    return features
