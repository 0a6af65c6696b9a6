"""A worker's function that takes no time and does what the photo's bytes tell it to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from img2mesh.errors import InputError
from img2mesh.worker.protocol import ReportProgress

ROOT = Path(__file__).parent.parent.parent
FUNCTION = "tests.web.fakes:act"
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


def act(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """``wait``: until a file ``go`` lies in the output folder; ``bad``: no picture; ``crash``."""
    source = Path(payload["source"])
    verb = source.read_bytes()
    root = Path(payload["output_dir"])
    with (root / "order").open("a") as order:
        order.write(f"{source.name}\n")
    report_progress("cutout", 0.5)
    if verb == b"wait":
        report_progress("radiance", 0.25)
        while not (root / "go").exists():
            time.sleep(0.01)
    if verb == b"bad":
        raise InputError(f"{str(source)!r} is a poem: expected a picture")
    if verb == b"crash":
        raise SystemExit("leaving")
    folder = root / source.stem
    folder.mkdir(exist_ok=True)
    (folder / "mesh.glb").write_bytes(b"glTF of " + verb)
    (folder / "report.html").write_text("<p>a report")
    (folder / "secret.txt").write_text("not delivered")
    return {
        "folder": str(folder),
        "files": {"mesh.glb": 8 + len(verb), "report.html": 11},
        "quality": {"generator": "geometric", "learned_weights": False},
        "seconds": 0.1,
        "cached": {},
        "warnings": ["it is flat"],
    }
