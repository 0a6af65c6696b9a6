"""Do pictures and cameras belong together? Checked before any work is spent on them.

Whatever cannot be right is refused with a sentence; what is only doubtful becomes a note.
"""

from __future__ import annotations

from collections.abc import Sequence

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS, Rig
from img2mesh.errors import InputError
from img2mesh.geometry.consistency import MOST_ORDERED, agreement, aim_errors, best_order
from img2mesh.geometry.upright import up_axis

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
    up = up_axis(cameras)
    if up == "y":
        return ()
    if up is None:
        return (
            "the cameras' up is no axis of their world: the asset keeps it and may stand askew "
            "(--up names the axis to stand on)",
        )
    sign = "" if up[0] == "-" else "+"
    return (
        f"the cameras' up is {sign}{up}, not +y: the asset is turned to stand upright, unless "
        "--up names another axis; --frame world keeps the cameras' world",
    )


def check_outlines(
    alpha: F32, cameras: tuple[Camera, ...], names: list[str], *, rig: Rig | None = None
) -> tuple[str, ...]:
    """Do the outlines have a common volume that shows up in all of them?

    Args:
        alpha: (v, h, w) masks.
        cameras: v cameras.
        names: of the views, for messages.
        rig: that was named; others of the same views are tried then.

    Returns:
        Notes: another rig fits better, or the views contradict each other.

    Raises:
        InputError: in another order the same pictures fit, in this one they do not.
    """
    shares = agreement(alpha, cameras)
    if shares.min() >= (0.995 if rig else _FINE):
        return ()
    if len(alpha) > MOST_ORDERED:
        return _doubt(shares, names)
    order, other, best = _better(alpha, cameras, rig)
    clear = best.min() >= _CLEAR and 1 - best.min() <= _REST * (1 - shares.min())
    given = tuple(range(len(order)))
    if not clear or (order == given and other == rig):
        return _doubt(shares, names)
    told = "" if other is None or other == rig else f" (and on the rig {other.name})"
    worst = int(shares.argmin())
    if order != given:
        if shares.min() >= _FINE:
            return ()
        if rig and not rig.any_grid and order in _LAYOUTS:
            fits = f"read {_LAYOUTS[order]}{told} they agree"
        else:
            listed = ", ".join(names[i].rpartition("/")[2].rpartition(", ")[2] for i in order)
            fits = f"in the order {listed}{told} they agree"
        expected = _expected(other) if other else ""
        raise InputError(
            f"the views are not in the order of their cameras: the other outlines leave only "
            f"{shares[worst]:.0%} of {names[worst]}, but {fits}; put them in order{expected}"
        )
    assert other is not None and rig is not None
    return (
        f"the outlines fit the rig {other.name} better than {rig.name} (worst view "
        f"{best.min():.1%} against {shares.min():.1%}): if the sheet was drawn on it, say --rig "
        f"{other.name}",
    )


def _better(
    alpha: F32, cameras: tuple[Camera, ...], rig: Rig | None
) -> tuple[tuple[int, ...], Rig | None, F64]:
    """The order, the rig (for sheets) and the shares that fit best; what was given wins ties."""
    first = tuple(_LAYOUTS) if rig and not rig.any_grid else ()
    order, best = best_order(alpha, cameras, first=first)
    chosen = rig
    for other in RIGS.values():
        if rig is not None and other.name != rig.name and _alike(other, rig):
            found, shares = best_order(alpha, other.cameras(alpha.shape[1]), first=first)
            if shares.min() > best.min() + 0.01:
                order, chosen, best = found, other, shares
    return order, chosen, best


def _alike(one: Rig, other: Rig) -> bool:
    """Whether a sheet of one rig looks like a sheet of the other, but for the cameras."""
    return one.azimuths_deg == other.azimuths_deg and one.sheet == other.sheet


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
