"""A recipe of distillation: what the published programs differ in, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from img2mesh.errors import InputError

Optimiser = Literal["adam", "adamax"]


@dataclass(frozen=True)
class Recipe:
    """How a field is distilled.

    Attributes:
        steps: of the optimiser.
        rate: of the optimiser.
        optimiser: ``adam`` or ``adamax``.
        grid: points along each side of the field.
        resolutions: sides of the renders, pixels, one after another.
        milestones: steps at which the next resolution begins; one fewer.
        batch: random views a step.
        distance: of the cameras from the origin, where the field reaches to 1.
        fov_deg: vertical field of view.
        elevations: lowest and highest of the random views, degrees.
        jitter: random change of the distance, each way.
        radius: of the ball that it begins with.
        weight_guidance, weight_input, weight_mask: of the guidance's gradient, of the input view's
            colours and of its outline.
        weight_depth_smooth, weight_near, weight_empty, weight_sparse, weight_opaque: of the
            regularisers (:mod:`.losses`).
        weight_rough: of the differences between neighbouring densities.
        preview_every: steps between two preview pictures; 0 draws none.
        seed: of cameras and noise.
    """

    steps: int
    rate: float
    optimiser: Optimiser
    grid: int
    resolutions: tuple[int, ...]
    milestones: tuple[int, ...]
    batch: int
    distance: float
    fov_deg: float
    elevations: tuple[float, float]
    jitter: float
    radius: float
    weight_guidance: float
    weight_input: float
    weight_mask: float
    weight_depth_smooth: float
    weight_near: float
    weight_empty: float
    weight_sparse: float
    weight_opaque: float
    weight_rough: float
    preview_every: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.milestones) != len(self.resolutions) - 1 or any(
            a >= b for a, b in pairwise(self.milestones)
        ):
            raise InputError(
                f"{len(self.resolutions)} resolutions need {len(self.resolutions) - 1} rising "
                f"milestones between them, got {list(self.milestones)}"
            )
        if min(self.resolutions) < 8 or max(self.resolutions) > 512:
            raise InputError(f"resolutions are 8 to 512 pixels, got {list(self.resolutions)}")
        low, high = self.elevations
        if not -90 <= low <= high <= 90:
            raise InputError(f"elevations are -90 <= low <= high <= 90, got {low:g} and {high:g}")
        if self.distance - self.jitter <= 1:
            raise InputError(
                f"cameras {self.distance:g} away, give or take {self.jitter:g}, would stand in the "
                "field, which reaches to 1; expected more"
            )

    def resolution(self, step: int) -> int:
        """Side of the renders at a step, pixels."""
        return self.resolutions[sum(step >= m for m in self.milestones)]
