"""What is written down of a job: report.json for people, run.json to run it again."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from img2mesh.core.system import peak_memory
from img2mesh.diffusion.checkpoints import locate
from img2mesh.graph import Outcome, Runner
from img2mesh.jobs.job import Job
from img2mesh.jobs.mesh_files import parts_report
from img2mesh.jobs.request import OutputOptions, Request
from img2mesh.report.verdict import verdict

#: Libraries whose version can change a result.
_RECORDED = (
    "img2mesh", "numpy", "pillow", "scipy", "torch", "nerfacc", "open3d", "scikit-image",
    "opencv-python-headless", "fast-simplification", "xatlas", "trimesh", "diffusers",
    "transformers", "meshoptimizer", "coacd",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Installed versions of what can change a result; what is not installed is left out."""
    found = {}
    for name in _RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def report_of(
    outcomes: Mapping[str, Outcome], job: Job, seconds: float, *, painter: str | None = None
) -> dict[str, Any]:
    """report.json: who made it, what it measures, what to be careful about, what it cost.

    ``painter`` is the model that the texture follows, if one does.
    """
    made: dict[str, Any] = {**job.given, **outcomes}
    measures = outcomes["quality"].load().measures if "quality" in outcomes else {}
    notes = [note for outcome in outcomes.values() for note in outcome.notes]
    report: dict[str, Any] = {"input": job.source.name, "name": job.stem, **measures}
    drawn = outcomes["photo"].load().provenance if "photo" in outcomes else None
    if drawn is not None:
        report["drawn_from_text"] = {"text": job.text, "model": drawn.generator}
    if views := made.get("refined") or made.get("views"):
        source = views.load().provenance
        licences = (*(drawn.licences if drawn else ()), *source.licences)
        if painter is not None and "asset" in outcomes:
            licences = (*licences, locate(painter).record.licence)
        report |= {
            "generator": source.generator,
            "learned_weights": source.learned_weights or drawn is not None,
            "licences": list(dict.fromkeys(licences)),
        }
        notes += source.notes
    if "cutout" in outcomes:
        cutout = outcomes["cutout"].load()
        report["segmentation"] = {"method": cutout.method, "confidence": cutout.confidence}
        notes += cutout.notes
    for name in ("radiance", "surface"):
        if name in outcomes and not measures:
            notes += outcomes[name].load().notes
    notes += report.get("warnings", [])
    if "asset" in outcomes and "game" in outcomes and (parts := outcomes["game"].load()):
        report |= parts_report(parts, outcomes["asset"].load())
        notes += parts.notes
    return report | {
        "verdict": verdict(report),
        "warnings": list(dict.fromkeys(notes)),
        "seconds": {name: round(o.seconds, 3) for name, o in outcomes.items()},
        "seconds_this_run": round(seconds, 3),
        "cached": {name: o.cached for name, o in outcomes.items()},
        "peak_memory_mb": round(peak_memory() / 2**20),
    }


def run_record(
    runner: Runner, job: Job, request: Request, options: OutputOptions
) -> dict[str, Any]:
    """run.json: enough to run it again."""
    stages, settings = request.graph.stages, runner.settings
    return {
        "input": {"path": str(job.source), "digest": job.digest}
        | ({} if job.text is None else {"text": job.text}),
        "preset": request.preset,
        "settings": settings,
        "files": asdict(options),
        "seeds": {n: s["seed"] for n, s in settings.items() if "seed" in s},
        "stages": {
            name: {"version": stages[name].version, "key": outcome.key}
            for name, outcome in runner.outcomes.items()
        },
        "identities": {
            name: dict(stage.identity(**settings[name]))
            for name, stage in stages.items()
            if stage.identity and name in runner.outcomes
        },
        "device": request.device,
        "versions": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
