"""The traffic light: whether a result deserves a look, from the numbers of its own report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GREEN, AMBER, RED = "green", "amber", "red"


@dataclass(frozen=True)
class _Limit:
    """A number that is good up to one limit and bad from another on.

    Attributes:
        words: what the number is, to fill with it.
        good, bad: the limits; ``good`` above ``bad`` where much of it is good.
    """

    words: str
    good: float
    bad: float

    def light(self, value: float) -> str:
        """Where a value lies."""
        sign = 1 if self.good > self.bad else -1
        if sign * value >= sign * self.good:
            return GREEN
        return AMBER if sign * value >= sign * self.bad else RED


#: Chosen on the development objects and pictures, where outlines agree to .974 and more, colours
#: to 25 dB and more (a halved hamburger: 20), and at most 23 % of the surface is seen by nobody
#: (insides of mugs and cabinets).
_LIMITS = {
    "found": _Limit("the object was found with confidence {:.2f}", 0.7, 0.3),
    "front": _Limit("the outline agrees with the photo's only to {:.2f}", 0.95, 0.85),
    "views": _Limit("one view's outline agrees only to {:.2f}", 0.92, 0.75),
    "colour": _Limit("the photo's colours are met only to {:.0f} dB", 22.0, 15.0),
    "colours": _Limit("the views' colours are met only to {:.0f} dB", 20.0, 14.0),
    "unseen": _Limit("{:.0%} of the surface is seen nowhere and was filled", 0.3, 0.5),
}
_RANK = (GREEN, AMBER, RED)


def verdict(report: Mapping[str, Any]) -> dict[str, Any]:
    """``{"light": "green" | "amber" | "red", "reasons": [...]}`` of a report.json's content.

    Every number counts that the report holds; the worst gives the light, and each that is not
    green gives a sentence.
    """
    lights, reasons = [GREEN], []
    for name, value in _numbers(report).items():
        light = _LIMITS[name].light(value)
        lights.append(light)
        if light != GREEN:
            reasons.append(_LIMITS[name].words.format(value))
    if report.get("watertight") is False:
        lights.append(AMBER)
        reasons.append("the mesh is not watertight")
    return {"light": max(lights, key=_RANK.index), "reasons": reasons}


def _numbers(report: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    outlines, colours = report.get("silhouette_iou") or {}, report.get("psnr_views") or {}
    seen = report.get("seen_surface_fraction") or {}
    found_by = report.get("segmentation") or {}
    views = [x for x in outlines.get("views") or [] if x is not None]
    painted = [x for x in colours.get("views") or [] if x is not None]
    given: dict[str, float | None] = {
        "found": found_by.get("confidence"),
        "front": outlines.get("input"),
        "views": min(views, default=None),
        "colour": colours.get("input"),
        "colours": sum(painted) / len(painted) if painted else None,
    }
    found = {name: float(value) for name, value in given.items() if value is not None}
    if {"photo", "views"} <= set(seen) and None not in seen.values():
        found["unseen"] = max(0.0, 1 - float(seen["photo"]) - float(seen["views"]))
    return found
