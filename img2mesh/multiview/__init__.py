"""Cutout -> posed views of the object, and their second pass. No generator is chosen silently.

``geometric`` is the embedded weight-free prior; every other name is a learned checkpoint: one of
the table, or a folder in the official layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from img2mesh.artifacts import Cutout, DepthSet, ViewSet
from img2mesh.multiview.geometric.body import BodyKind
from img2mesh.multiview.sampling import Progress, Sampling
from img2mesh.multiview.zero123plus import choices

__all__ = ["BodyKind", "Sampling", "generate", "identity", "refine"]


def generate(
    cutout: Cutout,
    *,
    generator: str,
    body: str,
    tile: int,
    normals: bool,
    sampling: Sampling,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> ViewSet:
    """Draw views of the object with the generator that was named.

    Args:
        cutout: the object alone.
        generator: ``geometric``, a checkpoint's name or its folder.
        body: of the geometric prior: ``auto``, ``lathe``, ``box`` or ``inflation``.
        tile: side of a view in pixels, where the generator leaves it free.
        normals: let a learned generator draw normal maps too, if it can.
        sampling: how a learned generator samples, and where.
        progress: called with the fraction done.
        note: told which wishes the generator does not hear.

    Raises:
        InputError: no such generator; says what there is, or how to fetch it.
    """
    match generator:
        case "geometric":
            from img2mesh.multiview import geometric

            if idle := sampling.idle_wishes():
                note(
                    f"{' and '.join(idle)} had no effect: the generator geometric denoises "
                    "nothing; choose a learned one with --generator"
                )
            return geometric.generate(cutout, body=body, tile=tile, progress=progress)
        case _:
            from img2mesh.multiview.zero123plus import views

            return views.generate(
                cutout,
                checkpoint=generator,
                normals=normals,
                sampling=sampling,
                progress=progress,
            )


def refine(
    cutout: Cutout,
    views: ViewSet,
    depths: DepthSet,
    *,
    generator: str,
    controlnet: str | None,
    strength: float,
    sampling: Sampling,
    progress: Progress | None = None,
) -> ViewSet:
    """The depth-controlled second pass, or the views unchanged where the generator has none.

    Args:
        cutout: the object alone.
        views: the first pass.
        depths: depth of the coarse shape at the views' poses.
        generator: what drew the first pass and draws the second.
        controlnet: name or folder of the depth ControlNet; by default the checkpoint's own.
        strength: how much the depth counts; 0 draws the first pass again.
        sampling, progress: as for :func:`generate`.
    """
    if generator == "geometric" or "depth" not in choices.capabilities(generator, controlnet):
        note = f"{views.provenance.generator} has no depth control: its views are used as drawn"
        notes = (*views.provenance.notes, note)
        return replace(views, provenance=replace(views.provenance, notes=notes))
    from img2mesh.multiview.zero123plus.views import refine as draw_again

    return draw_again(
        cutout,
        views,
        depths,
        checkpoint=generator,
        controlnet=controlnet,
        strength=strength,
        sampling=sampling,
        progress=progress,
    )


def identity(
    *, generator: str, controlnet: str | None = None, **settings: object
) -> dict[str, str]:
    """What, beside its settings, decides a generator's result: part of the cache key.

    Raises:
        InputError: no such generator on this machine; says how to get it.
    """
    if generator == "geometric":
        return {}
    return choices.identity(generator, controlnet, **settings)
