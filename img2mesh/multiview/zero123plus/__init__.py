"""Zero123++ as a view generator and refiner: ``Zero123Plus`` for those who sample by hand,
:func:`generate`, :func:`refine` and :func:`identity` for the pipeline.

Importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2mesh.multiview.zero123plus.model import Sample, Zero123Plus
    from img2mesh.multiview.zero123plus.views import generate, refine

__all__ = [
    "Sample",
    "Zero123Plus",
    "capabilities",
    "generate",
    "identity",
    "refine",
]


def __getattr__(name: str) -> Any:
    if name in ("Zero123Plus", "Sample"):
        from img2mesh.multiview.zero123plus import model

        return getattr(model, name)
    if name in ("generate", "refine"):
        from img2mesh.multiview.zero123plus import views

        return getattr(views, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
