"""Cutout -> posed views of the object, and their second pass. No generator is chosen silently.

``geometric`` is the embedded weight-free prior, ``learned`` the small network that comes with the
package, or the path of a ``.safetensors`` file that one trained oneself; every other name is a
published checkpoint: one of the table, or a folder in the official layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from img2mesh.artifacts import Cutout, DepthSet, ViewSet
from img2mesh.core.parts import Parts
from img2mesh.diffusion import adapters, checkpoints, pictures
from img2mesh.diffusion.speed import SpeedName
from img2mesh.errors import InputError
from img2mesh.multiview.geometric.body import BodyKind
from img2mesh.multiview.judging import judge, require_judge
from img2mesh.multiview.redrawing import redrawing, require_redrawer
from img2mesh.multiview.refiner import Refiner
from img2mesh.multiview.refiner import refine as draw_again
from img2mesh.multiview.sampling import Consistency, Progress, Sampling, shares
from img2mesh.multiview.zero123plus import choices

__all__ = [
    "BodyKind",
    "Consistency",
    "Refiner",
    "Sampling",
    "SpeedName",
    "embedded",
    "generate",
    "identity",
    "judge",
    "licences",
    "redrawing",
    "refine",
    "refiner_identity",
    "require_commercial",
    "require_fitting",
    "require_judge",
    "require_redrawer",
]

#: Licences of meshes that allow any use, the later ones with attribution.
_OPEN = ("CC0", "CC-BY-3", "CC-BY-4")


def embedded(generator: str) -> bool:
    """Whether a generator needs nothing fetched and draws exact views of one body."""
    return generator in ("geometric", "learned") or _own(generator) is not None


def licences(generator: str) -> tuple[str, ...]:
    """Licences of what an embedded generator learned from; none where it learned nothing.

    Raises:
        InputError: the generator is a file, and none of ours.
    """
    if generator == "geometric" or not embedded(generator):
        return ()
    from img2mesh.multiview.learned.model import facts

    return tuple(facts(_own(generator))["licences"])


def require_commercial(
    generator: str,
    *,
    controlnet: str | None,
    normals: bool,
    lora: str | None = None,
    refiner: str | None = None,
) -> None:
    """Refuse weights that may not be used commercially, or that do not say.

    Args:
        generator: what draws the views.
        controlnet: name or folder of a depth ControlNet, or None for the checkpoint's own.
        normals: whether normal maps are drawn too.
        lora: file of an adapter.
        refiner: what draws the views again, if anything does.

    Raises:
        InputError: says which licence stands against it.
    """
    if refiner is not None:
        checkpoints.require_commercial(checkpoints.locate(refiner).record)
    if not embedded(generator):
        choices.require_commercial(generator, controlnet, normals=normals, lora=lora)
    elif closed := [name for name in licences(generator) if not name.startswith(_OPEN)]:
        raise InputError(
            f"--commercial-only: {generator} was trained on meshes under {', '.join(closed)}"
        )


def require_fitting(views: Mapping[str, Any], refined: Mapping[str, Any]) -> None:
    """Refuse settings of both passes that their generators cannot follow, before any work.

    Args:
        views, refined: resolved settings of the two stages; empty where one will not run.

    Raises:
        InputError: says which, and what can.
    """
    for settings, depth in ((views, None), (refined, refined.get("controlnet"))):
        generator, lora = settings.get("generator", "learned"), settings.get("lora")
        if lora is not None and embedded(generator):
            raise InputError(
                f"--lora adds to a published generator, and {generator} is none: give the "
                "checkpoint that the adapter was trained on as --generator"
            )
        if lora is not None:
            adapters.require_fitting(lora, checkpoints.family_of(generator), generator)
        if not embedded(generator):
            choices.require_views(generator)
        if not embedded(generator) and (depth or settings.get("normals")):
            normals = "views.normals" if settings.get("normals") else None
            choices.require_no_control(generator, depth=depth, normals=normals)
    if views.get("matcher", "sift") != "sift":
        from img2mesh.imaging import learned_matching

        learned_matching.require(Path(views["matcher"]))
    if refined.get("refiner") is not None:
        pictures.require(refined["refiner"], purpose="--refiner")


def _own(generator: str) -> Path | None:
    return Path(generator) if generator.endswith(".safetensors") else None


def generate(
    cutout: Cutout,
    *,
    generator: str,
    body: str,
    parts: Parts,
    tile: int,
    normals: bool,
    elevation: float | None,
    matcher: str,
    consistency: Consistency,
    sampling: Sampling,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> ViewSet:
    """Draw views of the object with the generator that was named.

    Args:
        cutout: the object alone.
        generator: ``geometric``, ``learned``, a weights file of ``train shape``, a checkpoint's
            name or its folder.
        body: of an embedded generator: ``auto``, ``lathe``, ``box`` or ``inflation``; of
            ``learned`` also ``learned``.
        parts: of an embedded generator: what becomes of an outline in separate pieces.
        tile: side of a view in pixels, where the generator leaves it free.
        normals: let a learned generator draw normal maps too, if it can.
        elevation: of the photo's camera in degrees, where views are drawn relative to it.
        matcher: ``sift`` or the folder of a LightGlue; estimates the elevation where it is None.
        consistency: let views that are drawn one by one see each other meanwhile.
        sampling: how a learned generator samples, and where.
        progress: called with the fraction done.
        note: told which wishes the generator does not hear.

    Raises:
        InputError: no such generator; says what there is, or how to fetch it.
    """
    if embedded(generator) and (idle := sampling.idle_wishes()):
        note(
            f"{' and '.join(idle)} had no effect: the generator {generator} denoises "
            "nothing; choose a published one with --generator"
        )
    match generator:
        case "geometric":
            from img2mesh.multiview import geometric

            return geometric.generate(cutout, body=body, parts=parts, tile=tile, progress=progress)
        case _ if embedded(generator):
            from img2mesh.multiview import learned

            return learned.generate(
                cutout,
                body=body,
                parts=parts,
                tile=tile,
                weights=_own(generator),
                progress=progress,
            )
        case _ if choices.draws_apart(generator):
            choices.require_no_control(generator, normals="views.normals" if normals else None)
            from img2mesh.multiview.zero123 import views as apart

            return apart.generate(
                cutout,
                checkpoint=generator,
                elevation=elevation,
                matcher=matcher,
                consistency=consistency,
                sampling=sampling,
                progress=progress,
                note=note,
            )
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
    refiner: Refiner,
    sampling: Sampling,
    progress: Progress | None = None,
) -> ViewSet:
    """The depth-controlled second pass where the generator has one, then the refiner's.

    Args:
        cutout: the object alone.
        views: the first pass.
        depths: depth of the coarse shape at the views' poses.
        generator: what drew the first pass and draws the second.
        controlnet: name or folder of the depth ControlNet; by default the checkpoint's own.
        strength: how much the depth counts; 0 draws the first pass again.
        refiner: what draws each view again; see :mod:`.refiner`.
        sampling, progress: as for :func:`generate`.

    Raises:
        InputError: a ControlNet for a generator that none fits, or a refiner that is none.
    """
    second, third = shares(progress, not refiner.idle(sampling))
    views = _second_pass(
        cutout,
        views,
        depths,
        generator=generator,
        controlnet=controlnet,
        strength=strength,
        sampling=sampling,
        progress=second,
    )
    return draw_again(views, refiner, sampling=sampling, progress=third)


def _second_pass(
    cutout: Cutout,
    views: ViewSet,
    depths: DepthSet,
    *,
    generator: str,
    controlnet: str | None,
    strength: float,
    sampling: Sampling,
    progress: Progress | None,
) -> ViewSet:
    """The depth-controlled one, or the views unchanged where the generator has none."""
    if not embedded(generator):
        choices.require_no_control(generator, depth=controlnet)
    if embedded(generator) or "depth" not in choices.capabilities(generator, controlnet):
        note = f"{views.provenance.generator} has no depth control: its views are used as drawn"
        notes = (*views.provenance.notes, note)
        return replace(views, provenance=replace(views.provenance, notes=notes))
    from img2mesh.multiview.zero123plus.views import refine as led_by_depth

    return led_by_depth(
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
    *,
    generator: str,
    controlnet: str | None = None,
    refiner: str | None = None,
    matcher: str = "sift",
    **settings: object,
) -> dict[str, str]:
    """What, beside its settings, decides a generator's result: part of the cache key.

    Raises:
        InputError: no such generator or refiner on this machine; says how to get it.
    """
    known = _identity(generator, controlnet, **settings)
    if matcher != "sift":
        from img2mesh.imaging import learned_matching

        known = known | {"matcher": learned_matching.identity(Path(matcher))}
    return known | refiner_identity(refiner=refiner)


def refiner_identity(*, refiner: str | None, **settings: object) -> dict[str, str]:
    """The same for what draws renders of the asset again, if anything does.

    Raises:
        InputError: it is not on this machine.
    """
    return {} if refiner is None else {"refiner": checkpoints.identity(refiner)}


def _identity(generator: str, controlnet: str | None, **settings: object) -> dict[str, str]:
    if generator == "geometric":
        return {}
    if embedded(generator):
        from img2mesh.multiview import learned

        return learned.identity(_own(generator))
    return choices.identity(generator, controlnet, **settings)
