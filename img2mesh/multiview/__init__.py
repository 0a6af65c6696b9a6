"""Cutout -> posed views of the object, and their second pass. No generator is chosen silently.

``geometric`` is the embedded weight-free prior; every other name is a learned checkpoint: one of
the table, or a folder in the official layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from img2mesh.artifacts import Cutout, DepthSet, ViewSet
from img2mesh.multiview import zero123plus

Progress = Callable[[float], None]


def generate(
    cutout: Cutout,
    *,
    generator: str = "geometric",
    body: str = "auto",
    tile: int = 320,
    steps: int = 28,
    guidance_scale: float = 4.0,
    normals: bool = False,
    seed: int = 42,
    device: str = "auto",
    low_vram: bool = False,
    commercial_only: bool = False,
    progress: Progress | None = None,
) -> ViewSet:
    """Draw views of the object with the generator that was named.

    Args:
        cutout: the object alone.
        generator: ``geometric``, a checkpoint's name or its folder.
        body: of the geometric prior: ``auto``, ``lathe``, ``box`` or ``inflation``.
        tile: side of a view in pixels, where the generator leaves it free.
        steps, guidance_scale: of a learned generator's sampler.
        normals: let a learned generator draw normal maps too, if it can.
        seed: of the generator's noise.
        device, low_vram: where and how a learned generator computes.
        commercial_only: refuse weights whose licence forbids commercial use.
        progress: called with the fraction done.

    Raises:
        InputError: no such generator; says what there is, or how to fetch it.
    """
    match generator:
        case "geometric":
            from img2mesh.multiview import geometric

            return geometric.generate(cutout, body=body, tile=tile, seed=seed, progress=progress)
        case _:
            return zero123plus.generate(
                cutout,
                checkpoint=generator,
                steps=steps,
                guidance_scale=guidance_scale,
                normals=normals,
                seed=seed,
                device=device,
                low_vram=low_vram,
                commercial_only=commercial_only,
                progress=progress,
            )


def refine(
    cutout: Cutout,
    views: ViewSet,
    depths: DepthSet,
    *,
    generator: str = "geometric",
    controlnet: str | None = None,
    strength: float = 0.75,
    steps: int = 28,
    guidance_scale: float = 4.0,
    seed: int = 42,
    device: str = "auto",
    low_vram: bool = False,
    commercial_only: bool = False,
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
        steps, guidance_scale, seed, device, low_vram, commercial_only, progress: as for
            :func:`generate`.
    """
    if generator == "geometric" or "depth" not in zero123plus.capabilities(
        checkpoint=generator, controlnet=controlnet
    ):
        note = f"{views.provenance.generator} has no depth control: its views are used as drawn"
        notes = (*views.provenance.notes, note)
        return replace(views, provenance=replace(views.provenance, notes=notes))
    return zero123plus.refine(
        cutout,
        views,
        depths,
        checkpoint=generator,
        controlnet=controlnet,
        strength=strength,
        steps=steps,
        guidance_scale=guidance_scale,
        seed=seed,
        device=device,
        low_vram=low_vram,
        commercial_only=commercial_only,
        progress=progress,
    )


def identity(
    *, generator: str = "geometric", controlnet: str | None = None, **settings: object
) -> dict[str, str]:
    """What, beside its settings, decides a generator's result: part of the cache key.

    Raises:
        InputError: no such generator on this machine; says how to get it.
    """
    if generator == "geometric":
        return {}
    return zero123plus.identity(checkpoint=generator, controlnet=controlnet, **settings)
