"""Finished asset → quality numbers, preview, turntable and the report page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2mesh.report.known import pixels_of, small_photo, striped
    from img2mesh.report.measuring import measure
    from img2mesh.report.page import write_html
    from img2mesh.report.parts import clay, draw_parts
    from img2mesh.report.preview import beside_photo
    from img2mesh.report.rendering import render
    from img2mesh.report.turntable import save_turntable

__all__ = [
    "beside_photo",
    "clay",
    "draw_parts",
    "measure",
    "pixels_of",
    "render",
    "save_turntable",
    "small_photo",
    "striped",
    "write_html",
]

_HOMES = {
    "beside_photo": "preview",
    "clay": "parts",
    "draw_parts": "parts",
    "measure": "measuring",
    "pixels_of": "known",
    "render": "rendering",
    "save_turntable": "turntable",
    "small_photo": "known",
    "striped": "known",
    "write_html": "page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
