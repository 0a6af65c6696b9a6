"""Zero123++: ``Zero123Plus`` for those who sample by hand; :mod:`.views` draws for the pipeline,
:mod:`.choices` says what a checkpoint can do and what it is.

Importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2mesh.multiview.zero123plus.model import Sample, Zero123Plus

__all__ = ["Sample", "Zero123Plus"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from img2mesh.multiview.zero123plus import model

    return getattr(model, name)
