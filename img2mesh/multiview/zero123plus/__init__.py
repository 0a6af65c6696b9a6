"""Zero123++ as a view generator and refiner: ``Zero123Plus`` for those who sample by hand,
:func:`generate`, :func:`refine` and :func:`identity` for the pipeline.

Importing this package imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from img2mesh.artifacts import Cutout, DepthSet, ViewSet

if TYPE_CHECKING:
    from img2mesh.multiview.zero123plus.model import Sample, Zero123Plus

__all__ = [
    "Sample",
    "Zero123Plus",
    "capabilities",
    "generate",
    "identity",
    "refine",
]

Progress = Callable[[float], None]


def __getattr__(name: str) -> Any:
    if name in ("Zero123Plus", "Sample"):
        from img2mesh.multiview.zero123plus import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def generate(
    cutout: Cutout,
    *,
    checkpoint: str,
    steps: int = 28,
    guidance_scale: float = 4.0,
    seed: int = 42,
    device: str = "auto",
    low_vram: bool = False,
    offline: bool = False,
    commercial_only: bool = False,
    normals: bool = False,
    progress: Progress | None = None,
) -> ViewSet:
    """Draw six views of the object around it.

    Args:
        cutout: the object; its transparent part is put on grey as the network expects.
        checkpoint: a name of ``models list`` that was fetched, or a folder.
        steps: denoising steps; 28 for most objects, 75 for faces and fine detail.
        guidance_scale: classifier-free guidance, off at 1 and below.
        seed: of all noise.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        low_vram: keep one part of the model on the device at a time (about 5 GB).
        offline: no effect here, since nothing is ever downloaded while drawing.
        commercial_only: refuse weights whose licence forbids commercial use.
        normals: draw normal maps too, in a second run, and take the alpha from them; needs a
            checkpoint with a normal ControlNet (v1.2).
        progress: told the fraction done.

    Raises:
        InputError: no such checkpoint (says how to fetch it), or it cannot do what was asked.
    """
    from img2mesh.multiview.zero123plus import views

    return views.generate(
        cutout,
        checkpoint=checkpoint,
        steps=steps,
        guidance_scale=guidance_scale,
        seed=seed,
        device=device,
        low_vram=low_vram,
        commercial_only=commercial_only,
        normals=normals,
        progress=progress,
    )


def refine(
    cutout: Cutout,
    views: ViewSet,
    depths: DepthSet,
    *,
    checkpoint: str,
    controlnet: str | None = None,
    strength: float = 0.75,
    steps: int = 28,
    guidance_scale: float = 4.0,
    seed: int = 42,
    device: str = "auto",
    low_vram: bool = False,
    offline: bool = False,
    commercial_only: bool = False,
    progress: Progress | None = None,
) -> ViewSet:
    """Draw the views again, led by the depth of a coarse shape.

    Args:
        cutout: the object, as for :func:`generate`.
        views: the first pass; its size, photo and notes are kept.
        depths: six depth maps at the poses of the views.
        checkpoint: as for :func:`generate`; must have a depth ControlNet.
        controlnet: name or folder of the ControlNet; by default the checkpoint's own.
        strength: how much the ControlNet counts; 0.75 is the official example, 0 draws the
            first pass again exactly (same seed, steps and guidance).
        steps, guidance_scale, seed, device, low_vram, offline, commercial_only, progress: as for
            :func:`generate`.

    Raises:
        InputError: the checkpoint has no depth control (says which has), or a part is missing.
    """
    from img2mesh.multiview.zero123plus import views as module

    return module.refine(
        cutout,
        views,
        depths,
        checkpoint=checkpoint,
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


def capabilities(*, checkpoint: str, controlnet: str | None = None) -> frozenset[str]:
    """What a checkpoint can do beyond views: ``depth`` (be refined), ``normals``. No torch.

    Says what it can do by its record, whether or not the ControlNet was fetched yet.

    Raises:
        InputError: no such checkpoint.
    """
    from img2mesh.multiview.zero123plus import choices

    return choices.capabilities(checkpoint, controlnet)


def identity(
    *, checkpoint: str, controlnet: str | None = None, **settings: object
) -> dict[str, str]:
    """Revision or content hash of every weight file that plays a part, for cache keys. No torch.

    Args:
        checkpoint, controlnet: as for :func:`refine`.
        settings: the stage's other settings. ``strength`` marks a second pass, ``normals`` a
            first one, so that each depends on its own ControlNet alone; without either, both count.

    Raises:
        InputError: no such checkpoint on this machine.
    """
    from img2mesh.multiview.zero123plus import choices

    playing = {"depth", "normals"}
    if "strength" in settings:
        playing = {"depth"}
    elif "normals" in settings:
        playing = {"normals"} if settings["normals"] else set()
    return choices.identity(checkpoint, controlnet, capabilities=frozenset(playing))
