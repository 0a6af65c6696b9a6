"""The embedded generator: one closed body guessed from the outline, drawn at six exact poses.

No network and no weights: the sides the photo does not show are a guess, and the provenance of
the views says so.
"""

from __future__ import annotations

from collections.abc import Callable

from img2mesh.artifacts import Cutout, ViewSet
from img2mesh.core.parts import Parts

#: The rig it draws.
RIG = "zero123plus-v1.1"


def generate(
    cutout: Cutout,
    *,
    body: str,
    parts: Parts,
    tile: int,
    progress: Callable[[float], None] | None = None,
) -> ViewSet:
    """Draw six views of a body guessed from the outline of one picture.

    Args:
        cutout: the object alone.
        body: ``auto`` picks by the outline; ``lathe``, ``box`` or ``inflation`` insist on one.
        parts: what becomes of an outline in separate pieces.
        tile: side of the square views in pixels.
        progress: called with the fraction done.

    Returns:
        Six views with depth and normals, in a world where the body is centred on its bounding box
        and fills the unit sphere; the cutout itself is the ``photo``, with the assumed camera.

    Raises:
        InputError: unknown ``body``, a body that does not fit the outline, or ``tile`` < 1.
    """
    from img2mesh.artifacts import Provenance
    from img2mesh.multiview.geometric.choose import make_body
    from img2mesh.multiview.geometric.draw import draw_views

    made = make_body(cutout, body=body, parts=parts)
    provenance = Provenance(
        generator="geometric",
        learned_weights=False,
        exact=True,
        notes=(
            f"geometric prior ({made.kind}), no learned weights: "
            "unseen sides are a guess from the outline",
            *made.notes,
        ),
    )
    return draw_views(
        cutout, made, rig_name=RIG, tile=tile, provenance=provenance, progress=progress
    )
