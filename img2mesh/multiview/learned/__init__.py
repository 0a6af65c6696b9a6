"""The learned generator: a small network guesses the body, drawn at six exact poses.

Its weights come with the package. Where the outline surely is that of a turned thing or a box, the
prior's own bodies are used; the photo stays the truth about everything it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from img2mesh.artifacts import Cutout, ViewSet
from img2mesh.core.parts import Parts
from img2mesh.multiview.geometric.body import Body, BodyKind

#: The rig it draws.
RIG = "zero123plus-v1.1"


def generate(
    cutout: Cutout,
    *,
    body: str,
    parts: Parts,
    tile: int,
    weights: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> ViewSet:
    """Draw six views of the body the network believes in.

    Args:
        cutout: the object alone.
        body: ``auto`` takes ``lathe`` or ``box`` where the outline is surely that of one and, for
            a lathe, the network does not see another thing, else the network's; a name insists,
            ``learned`` on the network's.
        parts: what becomes of an outline in separate pieces.
        tile: side of the square views in pixels.
        weights: a file of your own training; by default the one that comes with the package.
        progress: called with the fraction done.

    Returns:
        As :func:`img2mesh.multiview.geometric.generate`.

    Raises:
        InputError: unknown ``body``, a body that does not fit the outline, or ``tile`` < 1.
    """
    from img2mesh.artifacts import Provenance
    from img2mesh.multiview.geometric.draw import draw_views
    from img2mesh.multiview.learned.model import facts

    made = make_body(cutout, body=body, parts=parts, weights=weights)
    said = facts(weights)
    note = (
        f"{said['name']}: a network trained on {said['meshes']} meshes "
        f"({', '.join(said['licences'])}); body: {made.kind}; unseen sides are a guess"
    )
    provenance = Provenance(
        generator="learned",
        learned_weights=True,
        exact=True,
        licences=tuple(said["licences"]),
        notes=(note, *made.notes),
    )
    return draw_views(
        cutout, made, rig_name=RIG, tile=tile, provenance=provenance, progress=progress
    )


def make_body(cutout: Cutout, *, body: str, parts: Parts, weights: Path | None = None) -> Body:
    """Build the body of a cutout.

    Raises:
        InputError: unknown body, or the one asked for does not fit the outline at all.
    """
    from img2mesh.errors import InputError
    from img2mesh.multiview.geometric import choose
    from img2mesh.multiview.geometric.colours import palette
    from img2mesh.multiview.geometric.outline import frame_camera, trace
    from img2mesh.multiview.geometric.solid import polygonise
    from img2mesh.multiview.learned import decode, model
    from img2mesh.multiview.learned.paint import learned_paint

    if body not in get_args(BodyKind):
        raise InputError(f"unknown body {body!r}; expected one of {', '.join(get_args(BodyKind))}")
    outline = trace(cutout, parts=parts)
    colours = palette(cutout, outline)
    if body == "inflation":
        return choose.inflation_body(cutout, outline, colours)
    found = None
    if body != "learned":
        found = choose.recognised(cutout, outline, colours, body=body)
        if found is not None and not (body == "auto" and found.kind == "lathe"):
            return found
    reading = model.read(cutout, file=weights)
    elevation = min(max(reading.elevation_deg, decode.LOWEST_DEG), decode.HIGHEST_DEG)
    camera = frame_camera(elevation, cutout.size)
    field = decode.columns(reading, outline, camera)
    solid = polygonise(field.implicit, *field.bounds(), cells=CELLS, parts=outline.parts)
    paint = learned_paint(colours, reading, solid, camera)
    guess = Body("learned", solid, paint, camera, outline.notes)
    if found is not None and likeness(found, guess) >= _LIKE:
        return found
    return guess


#: A lathe that the network's body is less like than this is none: sofas and pans seen from the side
#: have outlines of turned things too. Boxes proved right whatever the network says.
_LIKE = 0.73
#: Side in pixels of the outlines that are compared.
_SIDE = 96


def likeness(one: Body, other: Body) -> float:
    """Mean IoU in [0, 1] of two bodies' outlines at the poses of :data:`RIG`."""
    import numpy as np

    from img2mesh.core.rigs import rig
    from img2mesh.multiview.geometric.draw import Canvas

    canvases = Canvas(one), Canvas(other)
    shares = []
    for camera in rig(RIG).cameras(_SIDE):
        first, second = (canvas.outline(camera) for canvas in canvases)
        shares.append((first & second).sum() / max((first | second).sum(), 1))
    return float(np.mean(shares))


#: Grid cells along the longest side of a body: twice as fine as the network's columns.
CELLS = 120


def identity(weights: Path | None = None) -> dict[str, str]:
    """What decides a result beside the settings: the weights.

    Raises:
        InputError: no such file.
    """
    from img2mesh.multiview.learned.model import fingerprint

    return {"shape": fingerprint(weights)}
