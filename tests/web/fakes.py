"""Workers' functions that take no time and do what the photo's bytes tell them to."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from img2mesh.errors import InputError
from img2mesh.web import clerk
from img2mesh.worker.protocol import ReportProgress

ROOT = Path(__file__).parent.parent.parent
FUNCTION = "tests.web.fakes:act"
DESK = "tests.web.fakes:answer"
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}
DIGEST = "d" * 64


def act(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """``wait``: until a file ``go`` lies in the output folder; ``crash``; else a mesh."""
    source = Path(payload["source"])
    folder = Path(payload["output_dir"]) / payload["name"]
    verb = source.read_bytes()
    with (folder.parent / "order").open("a") as order:
        order.write(f"{source.name}\n")
    report_progress("cutout", 0.5)
    if verb == b"wait":
        report_progress("radiance", 0.25)
        while not (folder.parent / "go").exists():
            time.sleep(0.01)
    if verb == b"crash":
        raise SystemExit("leaving")
    folder.mkdir(exist_ok=True)
    settings = payload["request"]["settings"]
    (folder / "mesh.glb").write_bytes(b"glTF of " + verb)
    (folder / "report.html").write_text("<p>a report")
    (folder / "report.json").write_text(json.dumps({"generator": "geometric", "warnings": []}))
    (folder / "secret.txt").write_text("not delivered")
    record = {"input": {"digest": DIGEST, "path": str(source)}, "settings": settings}
    (folder / "run.json").write_text(json.dumps({**record, "mask": payload["mask"]}))
    return {
        "folder": str(folder),
        "files": dict.fromkeys(("mesh.glb", "report.html", "report.json", "run.json"), 0),
        "quality": {"generator": "geometric", "learned_weights": False},
        "seconds": 0.1,
        "cached": {},
        "warnings": ["it is flat", "no object; pass one with --mask"],
        "thumbnail": "data:,",
    }


def answer(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """Outlines: ``bad`` is no picture, ``odd`` is unsure, ``none`` shows nothing."""
    if payload["verb"] == "warm":
        Path(payload["request"]["cache_dir"]).with_name("warm").touch()
        return {}
    if payload["verb"] == "plan":
        faces = payload["request"]["settings"].get("surface", {}).get("target_faces")
        stages = [{"stage": name, "cached": faces is None, "reason": ""} for name in ("surface",)]
        return {"stages": stages}
    if payload["verb"] == "convert":
        Path(payload["target"]).write_bytes(b"converted " + Path(payload["source"]).read_bytes())
        return {"files": [Path(payload["target"]).name]}
    if payload["verb"] == "pack":
        return clerk.pack(payload)
    if payload["verb"] in ("known", "sofar"):
        Path(payload["target"]).write_bytes(b"hatched")
        return {}
    source = Path(payload["source"])
    verb = source.read_bytes()
    if verb == b"bad":
        raise InputError(f"{str(source)!r} is a poem: expected a picture")
    if verb == b"die":
        raise SystemExit("gone")
    for name, content in ((clerk.THUMBNAIL, b"small"), (clerk.SHOWN, b"large")):
        if not (source.parent / name).exists():
            (source.parent / name).write_bytes(content)
    cut = payload["request"]["settings"].get("cutout", {})
    whole = cut.get("remove_background") is False
    told = {"digest": DIGEST, "width": 40, "height": 30, "method": "border", "refused": ""}
    polygons = [[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]]
    if verb == b"none" and not (payload["mask"] or whole or cut.get("box")):
        sentence = f"no object was found in {source.stem!r}: say where it is with --box"
        return {**told, "refused": sentence, "polygons": [], "confidence": 0.0, "sure": False}
    sure = verb != b"odd" or bool(payload["mask"]) or whole
    confidence = 0.9 if sure else 0.55
    return {**told, "polygons": polygons, "confidence": confidence, "sure": sure}
