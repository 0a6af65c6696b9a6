"""Do pictures and cameras belong together? Checked before any work is spent on them.

Whatever cannot be right is refused with a sentence; what is only doubtful becomes a note.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS, Rig
from img2mesh.errors import InputError
from img2mesh.geometry.consistency import MOST_ORDERED, agreement, aim_errors, best_order

#: Share of every outline that the common volume fills when nothing is wrong; exact views fill all,
#: 1.5 px of warp in 320 costs nothing at this coarseness.
_FINE = 0.97
#: Another order must fit this well, leaving at most this share of the gap, to be called the right
#: one. On eight objects the right order fills 1.000 of the worst view, wrong ones .21 to .96.
_CLEAR, _REST = 0.97, 0.35
#: Below this, views that no other order explains either are at least worth a warning.
_DOUBTFUL = 0.9
#: Sheets people really have, as the sheet's tiles in the order of the rig's cameras.
_LAYOUTS: dict[tuple[int, ...], str] = {
    (0, 2, 4, 1, 3, 5): "column by column",
    (1, 0, 3, 2, 5, 4): "row by row from right to left",
    (4, 5, 2, 3, 0, 1): "row by row from the bottom up",
    (5, 4, 3, 2, 1, 0): "backwards",
}


def check_aim(alpha: F32, cameras: tuple[Camera, ...], names: list[str]) -> None:
    """Do the cameras look at one common object where the masks show it?

    Raises:
        InputError: names the view that disagrees most.
    """
    errors = aim_errors(alpha, cameras)
    if errors is None:
        raise InputError(
            "all cameras look in the same direction, which shows one side only: "
            "views from around the object are needed"
        )
    if errors.max() > 0:
        raise InputError(
            f"the cameras and pictures do not fit together: {names[int(errors.argmax())]} does not "
            "show the object where the other views see it; matrices must be OpenGL "
            "camera-to-world (looking along -z)"
        )


def up_note(cameras: tuple[Camera, ...]) -> tuple[str, ...]:
    """A hint when the pictures' own up is not +y of the world (z up is Blender's habit)."""
    up = np.mean([c.world_from_camera[:3, 1] for c in cameras], axis=0)
    axis = int(np.abs(up).argmax())
    if axis == 1 and up[1] > 0:
        return ()
    sign = "+" if up[axis] > 0 else "-"
    return (
        f"the cameras' up is {sign}{'xyz'[axis]}, not +y: the asset keeps their world and may lie "
        "on its side",
    )


def check_outlines(
    alpha: F32, cameras: tuple[Camera, ...], names: list[str], *, sheet_rig: str | None = None
) -> tuple[str, ...]:
    """Do the outlines have a common volume that shows up in all of them?

    Args:
        alpha: (v, h, w) masks.
        cameras: v cameras.
        names: of the views, for messages.
        sheet_rig: the rig that was named, for a six-view sheet; other rigs are tried then.

    Returns:
        Notes: another rig fits better, or the views contradict each other.

    Raises:
        InputError: in another order the same pictures fit, in this one they do not.
    """
    shares = agreement(alpha, cameras)
    if shares.min() >= (0.995 if sheet_rig else _FINE):
        return ()
    if len(alpha) > MOST_ORDERED:
        return _doubt(shares, names)
    order, rig, best = _better(alpha, cameras, sheet_rig)
    clear = best.min() >= _CLEAR and 1 - best.min() <= _REST * (1 - shares.min())
    given = tuple(range(len(order)))
    if not clear or (order == given and rig == sheet_rig):
        return _doubt(shares, names)
    told = "" if rig == sheet_rig else f" (and on the rig {rig})"
    worst = int(shares.argmin())
    if order != given:
        if shares.min() >= _FINE:
            return ()
        if sheet_rig and order in _LAYOUTS:
            fits = f"read {_LAYOUTS[order]}{told} they agree"
        else:
            listed = ", ".join(names[i].rpartition("/")[2].rpartition(", ")[2] for i in order)
            fits = f"in the order {listed}{told} they agree"
        expected = _expected(RIGS[rig or sheet_rig or ""]) if sheet_rig else ""
        raise InputError(
            f"the views are not in the order of their cameras: the other outlines leave only "
            f"{shares[worst]:.0%} of {names[worst]}, but {fits}; put them in order{expected}"
        )
    return (
        f"the outlines fit the rig {rig} better than {sheet_rig} (worst view {best.min():.1%} "
        f"against {shares.min():.1%}): if the sheet was drawn on it, say --rig {rig}",
    )


def _better(
    alpha: F32, cameras: tuple[Camera, ...], sheet_rig: str | None
) -> tuple[tuple[int, ...], str | None, F64]:
    """The order, the rig (for sheets) and the shares that fit best; what was given wins ties."""
    order, best = best_order(alpha, cameras, first=tuple(_LAYOUTS) if sheet_rig else ())
    rig = sheet_rig
    for name, other in RIGS.items() if sheet_rig else ():
        if name != sheet_rig:
            found, shares = best_order(alpha, other.cameras(alpha.shape[1]), first=tuple(_LAYOUTS))
            if shares.min() > best.min() + 0.01:
                order, rig, best = found, name, shares
    return order, rig, best


def _expected(rig: Rig) -> str:
    turns = ", ".join(f"{a:g}" for a in rig.azimuths_deg)
    return f", row by row at azimuths {turns} degrees to the right of the input picture"


def _doubt(shares: F64, names: Sequence[str]) -> tuple[str, ...]:
    if shares.min() >= _DOUBTFUL:
        return ()
    worst = int(shares.argmin())
    return (
        f"the outlines contradict each other: the other views leave only {shares[worst]:.0%} of "
        f"{names[worst]}; check the cameras, the order of the views and the masks",
    )
