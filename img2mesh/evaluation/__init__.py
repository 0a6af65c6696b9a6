"""How good a result is, against a reference: shapes, pictures, held-out views, whole suites.

Every number's definition stands in the docstring of the function that computes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2mesh.evaluation.perceptual import Perceptual


def compare_meshes(
    pred: str | Path, reference: str | Path, *, samples: int = 60_000, seed: int = 0
) -> dict[str, Any]:
    """Shape of a predicted mesh file against a reference; see :mod:`img2mesh.evaluation.shape`."""
    from img2mesh.evaluation.shape import compare

    return compare(Path(pred), Path(reference), samples=samples, seed=seed)


def compare_views(
    pred: str | Path,
    reference: str | Path,
    *,
    group: str | None = None,
    perceptual: Perceptual | None = None,
) -> dict[str, Any]:
    """Pictures of a prediction against reference pictures; see :mod:`img2mesh.evaluation.views`."""
    from img2mesh.evaluation.views import compare

    return compare(Path(pred), Path(reference), group=group, perceptual=perceptual)
