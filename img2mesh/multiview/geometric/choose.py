"""Which body a cutout gets: lathe, else box, else inflation."""

from __future__ import annotations

from img2mesh.artifacts import Cutout
from img2mesh.errors import InputError
from img2mesh.multiview.geometric import inflation
from img2mesh.multiview.geometric.appearance import balloon_paint
from img2mesh.multiview.geometric.body import Body
from img2mesh.multiview.geometric.colours import Palette, palette
from img2mesh.multiview.geometric.outline import Outline, frame_camera, trace
from img2mesh.multiview.geometric.solid import polygonise

BODIES = ("auto", "lathe", "box", "inflation")


def make_body(cutout: Cutout, *, body: str = "auto") -> Body:
    """Build the body of a cutout.

    Raises:
        InputError: unknown body, or the one asked for does not fit the outline at all.
    """
    if body not in BODIES:
        raise InputError(f"unknown body {body!r}; expected one of {', '.join(BODIES)}")
    outline = trace(cutout)
    colours = palette(cutout, outline)
    return inflated(cutout, outline, colours)


def inflated(cutout: Cutout, outline: Outline, colours: Palette) -> Body:
    """The body that always exists."""
    balloon = inflation.inflate(outline)
    solid = polygonise(balloon.implicit, *inflation.bounds(outline, balloon))
    camera = frame_camera(0.0, cutout.size)
    paint = balloon_paint(colours, balloon, camera)
    return Body("inflation", solid, paint, camera, outline.notes)
