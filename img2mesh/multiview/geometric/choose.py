"""Which body a cutout gets: lathe, else box, else inflation."""

from __future__ import annotations

from typing import get_args

from img2mesh.artifacts import Cutout
from img2mesh.core.parts import Parts
from img2mesh.errors import InputError
from img2mesh.multiview.geometric import carve, cuboid, ground_contact, inflation, lathe
from img2mesh.multiview.geometric.appearance import inflation_paint
from img2mesh.multiview.geometric.body import Body, BodyKind
from img2mesh.multiview.geometric.colours import Palette, palette
from img2mesh.multiview.geometric.outline import FrameSilhouette, frame_camera, trace
from img2mesh.multiview.geometric.profile import Profile, measure
from img2mesh.multiview.geometric.solid import polygonise

_MISFIT = (
    "body {body!r} was asked for, but the outline is not that of an object that is {what}; "
    "choose body 'auto' or 'inflation'"
)
#: Share of the outline a turned body and its handles may leave unexplained: ragged edges, no more.
_UNEXPLAINED = 0.06
#: IoU of a box with the convex hull of an outline that is not solid itself (chairs, tables).
_HULL_FIT = 0.95
#: What the prior itself can make.
BODIES = tuple(kind for kind in get_args(BodyKind) if kind != "learned")
#: A box around an object that leaves its corners empty (a car) must touch it in most directions,
#: and its symmetry must hold better.
_TOUCHING = 0.6
_SURVIVE_AROUND = 0.97


def make_body(cutout: Cutout, *, body: str, parts: Parts) -> Body:
    """Build the body of a cutout.

    Raises:
        InputError: unknown body, or the one asked for does not fit the outline at all.
    """
    if body not in BODIES:
        raise InputError(f"unknown body {body!r}; expected one of {', '.join(BODIES)}")
    outline = trace(cutout, parts=parts)
    colours = palette(cutout, outline)
    found = None if body == "inflation" else recognised(cutout, outline, colours, body=body)
    return found or inflation_body(cutout, outline, colours)


def recognised(
    cutout: Cutout, outline: FrameSilhouette, colours: Palette, *, body: str
) -> Body | None:
    """A lathe or a box, where the outline is surely that of one; None where it is of neither.

    Raises:
        InputError: ``body`` insists on one that does not fit the outline at all.
    """
    if body in ("auto", "lathe"):
        profile = measure(outline, insist=body == "lathe")
        if profile is not None:
            found = lathe_body(cutout, outline, colours, profile, insist=body == "lathe")
            if found is not None:
                return found
        if body == "lathe":
            raise InputError(_MISFIT.format(body="lathe", what="upright and round"))
    if body in ("auto", "box"):
        found = box_body(cutout, outline, colours, insist=body == "box")
        if found is not None:
            return found
        if body == "box":
            raise InputError(_MISFIT.format(body="box", what="boxy and seen at an angle"))
    return None


def box_body(
    cutout: Cutout, outline: FrameSilhouette, colours: Palette, *, insist: bool
) -> Body | None:
    """A box, carved by the outline and its mirror images; None where the outline is of no box."""
    box = cuboid.fit(outline)
    camera = cuboid.camera(box, cutout.size)
    carving = None
    if insist or (cuboid.fits(box, outline)):
        carving = carve.carve(box, outline, camera) or carve.uncarved(box, outline, camera)
    elif cuboid.shows_two_faces(box) and box.iou >= _HULL_FIT:
        carving = carve.carve(box, outline, camera)
    if carving is None:
        box = cuboid.fit(outline, around=True)
        camera = cuboid.camera(box, cutout.size)
        if cuboid.shows_two_faces(box) and box.touching >= _TOUCHING:
            carving = carve.carve(box, outline, camera, survive=_SURVIVE_AROUND)
    if carving is None:
        return None
    solid = polygonise(carving.implicit, *carving.bounds(), parts=outline.parts)
    paint = carve.carved_paint(colours, carving, solid)
    return Body("box", solid, paint, camera, outline.notes)


def lathe_body(
    cutout: Cutout, outline: FrameSilhouette, colours: Palette, profile: Profile, *, insist: bool
) -> Body | None:
    """A surface of revolution with what stands beside it; None if that leaves too much over."""
    camera = frame_camera(profile.elevation_deg, cutout.size)
    made = lathe.turn(outline, profile, camera)
    mask = outline.mask
    explained = profile.core if made.beside is None else profile.core | made.beside
    if not insist and (mask & ~explained).sum() > _UNEXPLAINED * mask.sum():
        return None
    solid = polygonise(made.implicit, *made.bounds(), parts=outline.parts)
    return Body("lathe", solid, lathe.lathe_paint(colours, made), camera, outline.notes)


def inflation_body(cutout: Cutout, outline: FrameSilhouette, colours: Palette) -> Body:
    """The body that always exists."""
    blown = inflation.inflate(outline, ground_contact.find(outline))
    solid = polygonise(blown.implicit, *inflation.bounds(outline, blown), parts=outline.parts)
    camera = frame_camera(0.0, cutout.size)
    paint = inflation_paint(colours, blown, camera)
    return Body("inflation", solid, paint, camera, outline.notes)
