"""A report's numbers in sentences, the same on the page, in ``report.html`` and a batch's index.

They are for whoever knows none of the terms. What is measured against the cutout says so: a mesh
of a wrong cutout agrees with it as well as one of a right cutout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Belongs wherever a number is shown that was measured against the cutout.
CAUTION = "This says nothing about whether the cutout is right."


#: What stands on every photo that a generator drew, or is said by the shares of the surface.
_USUAL = re.compile(
    r"unseen sides are a guess|its views are used as drawn|of the surface was seen in no view"
)


def is_usual(warning: str) -> bool:
    """Whether a warning stands on every photo alike, so that it says nothing about this one."""
    return _USUAL.search(warning) is not None


def shares(report: Mapping[str, Any]) -> dict[str, float] | None:
    """Shares of the surface by who saw it, ``photo``, ``views`` and ``filled``; None if unknown."""
    seen = report.get("seen_surface_fraction") or {}
    photo, views = seen.get("photo"), seen.get("views")
    if photo is None or views is None:
        return None
    return {"photo": photo, "views": views, "filled": max(1 - photo - views, 0.0)}


def surface(report: Mapping[str, Any]) -> str:
    """How much of the surface somebody saw, and how much is a guess; empty if that is unknown."""
    found = shares(report)
    if found is None:
        return ""
    told = {name: f"{round(100 * share)}\N{NO-BREAK SPACE}%" for name, share in found.items()}
    by = "from the other views" if report.get("generator") == "given" else "guessed"
    return f"{told['photo']} from the photo, {told['views']} {by}, {told['filled']} filled."


def outline(report: Mapping[str, Any]) -> str:
    """How well the mesh's outline agrees with the cutout's; empty if that is unknown."""
    match = (report.get("silhouette_iou") or {}).get("input")
    return (
        ""
        if match is None
        else f"The mesh's outline agrees with the cutout: {100 * match:.1f}\N{NO-BREAK SPACE}%."
    )


def sentences(report: Mapping[str, Any]) -> list[str]:
    """Both, the second with what it does not say."""
    agreed = outline(report)
    return [one for one in (surface(report), agreed and f"{agreed} {CAUTION}") if one]
