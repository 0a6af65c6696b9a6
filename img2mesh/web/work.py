"""What the worker process does with a photo: the job that ``img2mesh run`` would run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from img2mesh import delivery, job
from img2mesh.batch.work import decode
from img2mesh.graph import Finished, Progressed, Reused, Started

Tell = Callable[[str, float], None]

#: Of report.json, what the page shows.
_KEPT = (
    "generator", "learned_weights", "licences", "faces", "vertices", "watertight",
    "texture_resolution", "seen_surface_fraction", "seconds_this_run", "cached",
)  # fmt: skip


def make(payload: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Do one photo.

    Args:
        payload: ``source``, ``output_dir`` and the parts of :func:`img2mesh.batch.work.encode`.
        tell: called with a stage and the fraction of it that is done.

    Returns:
        ``folder``, ``files`` (their names in it, by size), ``report`` and ``warnings``.

    Raises:
        InputError: the picture cannot be used.
        Img2MeshError: a stage failed or a file could not be written.
    """
    began = time.perf_counter()
    request, wanted = decode(payload)
    work = job.photo_job(Path(payload["source"]))
    folder, renamed = delivery.output_folder(Path(payload["output_dir"]), work)

    def hear(event: Any) -> None:
        match event:
            case Started():
                tell(event.stage, 0.0)
            case Progressed():
                tell(event.stage, event.fraction)
            case Reused() | Finished():
                tell(event.stage, 1.0)

    runner = job.runner_for(request, hear, explain=False)
    runner.run(request.until, work.given)
    tell("files", 0.0)
    done = delivery.deliver(
        runner, work, request, wanted, folder, seconds=time.perf_counter() - began
    )
    return {
        "folder": str(folder),
        "files": {path.name: path.stat().st_size for path in done.files.values()},
        "report": {name: done.report[name] for name in _KEPT if name in done.report},
        "warnings": [*([renamed] if renamed else []), *done.report["warnings"]],
    }
