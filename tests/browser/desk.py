"""Fakes of the desk for a browser: pictures that can be drawn, and a real one that doubts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from img2mesh.web import clerk
from img2mesh.worker.protocol import ReportProgress
from tests.web import fakes


def answer(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """As the other fake, with pictures."""
    from PIL import Image

    from img2mesh.io.files import replacing

    if payload["verb"] == "outline":
        folder = Path(payload["source"]).parent
        for name, size in ((clerk.THUMBNAIL, (160, 120)), (clerk.SHOWN, (640, 480))):
            if not (folder / name).exists():
                with replacing(folder / name) as path:
                    Image.new("RGB", size, (150, 120, 90)).save(path, "WEBP")
    told = fakes.answer(payload, report_progress)
    if payload["verb"] == "sofar":
        Image.new("RGB", (256, 384), (120, 150, 90)).save(payload["target"])
    elif payload["verb"] == "known":
        Image.new("RGB", (64, 64), (226, 120, 40)).save(payload["target"])
    return told


def doubting(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """The real one, never sure of what nobody drew."""
    told = clerk.answer(payload, report_progress)
    if payload["verb"] == "outline" and not payload.get("mask"):
        told["sure"] = False
    return told


def make(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """As the other fake, with a mesh that is one."""
    from img2mesh.io.gltf import glb_bytes
    from tests.shapes import box_asset

    told = fakes.act(payload, report_progress)
    (Path(told["folder"]) / "mesh.glb").write_bytes(glb_bytes(box_asset()))
    return told
