"""Zero-1-to-3: ``Zero123`` for those who sample by hand; :mod:`.views` draws for the pipeline.

Importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2mesh.multiview.zero123.model import Sample, Zero123

__all__ = ["Sample", "Zero123"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from img2mesh.multiview.zero123 import model

    return getattr(model, name)
