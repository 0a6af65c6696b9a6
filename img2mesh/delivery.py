"""What a finished job leaves in its output folder: each file in place or not at all."""

from __future__ import annotations

import json
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from img2mesh import pipeline
from img2mesh.artifacts import TexturedMesh, codecs
from img2mesh.artifacts.game import GameParts
from img2mesh.errors import Img2MeshError
from img2mesh.graph import Runner
from img2mesh.imaging.sheet import tile
from img2mesh.io.files import write_json
from img2mesh.io.gltf import glb_bytes
from img2mesh.job import Job, Request, versions
from img2mesh.packing import Wanted as Wanted
from img2mesh.packing import mesh_files, parts_report, write_archive

#: Files that only some runs leave.
_OPTIONAL = ("mesh_lod*.glb", "mesh_collision.glb", "mesh*_meshopt.glb", "engine.png", "asset.zip")


@dataclass(frozen=True)
class Delivered:
    """A written output folder.

    Attributes:
        folder: where everything lies.
        files: what was written, by purpose (``mesh``, ``preview``, ...).
        report: the content of report.json.
    """

    folder: Path
    files: dict[str, Path]
    report: dict[str, Any]


def output_folder(root: Path, job: Job) -> tuple[Path, str | None]:
    """``root/<stem>``, or ``root/<stem>-<hash>`` where another input already lives there.

    Returns the folder and a sentence if the name had to change.
    """
    folder = root / job.stem
    record = folder / "run.json"
    if record.exists():
        try:
            owner = json.loads(record.read_text(encoding="utf-8"))["input"]["digest"]
        except (ValueError, KeyError, TypeError, OSError):
            owner = None
        if owner not in (None, job.digest):
            other = root / f"{job.stem}-{job.digest[:8]}"
            return other, f"{folder} belongs to another input of that name; writing to {other}"
    return folder, None


def deliver(
    runner: Runner, job: Job, request: Request, wanted: Wanted, folder: Path, *, seconds: float
) -> Delivered:
    """Write the output folder from the runner's outcomes.

    Raises:
        Img2MeshError: a file could not be written; names it and the cause.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _deliver(runner, job, request, wanted, folder, seconds=seconds)
    except OSError as error:
        raise Img2MeshError(
            f"cannot write the results to {folder}: {error.strerror or error}; what was "
            "computed is kept in the cache, so the next run only writes"
        ) from error


def _deliver(
    runner: Runner, job: Job, request: Request, wanted: Wanted, folder: Path, *, seconds: float
) -> Delivered:
    outcomes = runner.outcomes
    files: dict[str, Path] = {}

    def copy(purpose: str, stage: str, name: str, target: str) -> None:
        home = outcomes[stage].folder if stage in outcomes else None
        if home is not None:
            source = home / name
            files[purpose] = place(folder / target, lambda path: _copy(source, path))

    copy("cutout", "cutout", "cutout.png", "cutout.png")
    copy("preview", "quality", "preview.png", "preview.png")

    views, refined = (_artifact(runner, job, name) for name in ("views", "refined"))
    if views is not None:
        files["views"] = place(folder / "views.png", lambda path: _write_sheet(views, path))
    if refined is not None and views is not None and "refined" in outcomes:
        differs = refined.rgb.shape != views.rgb.shape or (refined.rgb != views.rgb).any()
        if differs:
            files["refined"] = place(
                folder / "refined.png", lambda path: _write_sheet(refined, path)
            )
        else:
            (folder / "refined.png").unlink(missing_ok=True)

    if "depths" in outcomes and (home := outcomes["depths"].folder) is not None:
        files["depths"] = place(folder / "depths.png", lambda path: _write_depths(home, path))

    report = _report(runner, job, refined if refined is not None else views, seconds)
    if "asset" in outcomes:
        made, about = _deliver_meshes(runner, job, wanted, folder)
        report["warnings"] += about.pop("notes", [])
        files, report = made | files, report | about
    _place_json(folder / "report.json", report)
    files["report"] = folder / "report.json"
    if "mesh" in files:
        from img2mesh.report import write_html

        pictures: dict[str, bytes] = {
            name: files[name].read_bytes()
            for name in ("preview", "parts", "cutout", "views", "depths", "refined")
            if name in files
        }
        glb = _viewable(runner, job, wanted, files["mesh"])
        files["page"] = place(
            folder / "report.html",
            lambda path: write_html(
                path, glb=glb, report=report, title=job.stem, pictures=pictures
            ),
        )
    # run.json comes last: its presence says that everything above it is in place.
    _place_json(folder / "run.json", _run_record(runner, job, request, wanted))
    files["run"] = folder / "run.json"
    return Delivered(folder, files, report)


def _deliver_meshes(
    runner: Runner, job: Job, wanted: Wanted, folder: Path
) -> tuple[dict[str, Path], dict[str, Any]]:
    """The mesh in every form, by purpose, and what the report says of it."""
    outcome = runner.outcomes["asset"]
    parts: GameParts = (
        runner.outcomes["engine"].load() if "engine" in runner.outcomes else GameParts()
    )
    asset = cache(outcome.load)
    stored = None if outcome.folder is None else (outcome.folder / "asset.glb").read_bytes()
    files: dict[str, Path] = {}
    for name, data in mesh_files(stored, asset, parts, job.stem, wanted).items():
        files[Path(name).stem] = place(folder / name, partial(_write_bytes, data))

    def dressed() -> TexturedMesh:
        return parts.with_maps(replace(asset(), name=job.stem))

    sides: list[Path] = []
    for suffix in wanted.mesh_formats:
        if suffix != "glb":
            files[suffix] = dressed().save(folder / f"mesh.{suffix}")
        if suffix == "obj":
            names = ["mesh.mtl", "mesh_texture.png"]
            names += ["mesh_normal.png"] if parts.normal_map is not None else []
            sides += [folder / name for name in names]
    if parts:
        files["parts"] = place(folder / "engine.png", lambda path: _draw(asset(), parts, path))
    if wanted.turntable:
        from img2mesh.report import save_turntable

        files["turntable"] = place(
            folder / "turntable.webp", lambda path: save_turntable(dressed(), path)
        )
    if wanted.archive:
        packed = [*files.values(), *sides]
        if "quality" in runner.outcomes:
            packed.append(folder / "preview.png")
        files["archive"] = place(
            folder / "asset.zip", lambda path: write_archive(path, packed, job.stem)
        )
    kept = {*files.values(), *sides}
    for pattern in _OPTIONAL:  # of an earlier run that was asked for more
        for stale in set(folder.glob(pattern)) - kept:
            stale.unlink()
    return files, parts_report(parts, asset()) if parts else {}


def _viewable(runner: Runner, job: Job, wanted: Wanted, mesh: Path) -> bytes:
    """The GLB for the page: the deliverable, but for KTX 2, whose decoder is not in the page."""
    if wanted.texture_format != "ktx2":
        return mesh.read_bytes()
    parts: GameParts = (
        runner.outcomes["engine"].load() if "engine" in runner.outcomes else GameParts()
    )
    return glb_bytes(parts.with_maps(replace(runner.outcomes["asset"].load(), name=job.stem)))


def _draw(asset: TexturedMesh, parts: GameParts, path: Path) -> None:
    from PIL import Image

    from img2mesh.report import draw_parts

    Image.fromarray(draw_parts(asset, parts)).save(path, compress_level=6)


def _write_bytes(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _artifact(runner: Runner, job: Job, name: str) -> Any:
    """What a stage made, or what was given in its place, or None."""
    source = runner.outcomes.get(name) or job.given.get(name)
    return source.load() if source else None


def place(target: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a temporary file beside the target, then rename it into place."""
    with tempfile.TemporaryDirectory(prefix=".img2mesh-", dir=target.parent) as scratch:
        temporary = Path(scratch) / target.name
        write(temporary)
        temporary.replace(target)
    return target


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _place_json(target: Path, value: object) -> None:
    place(target, lambda path: write_json(path, value))


def _write_sheet(views: Any, path: Path) -> None:
    codecs.write_rgba(path, tile(views.rgb), tile(views.alpha[..., None])[..., 0])


def _write_depths(entry: Path, path: Path) -> None:
    """The stored depth pictures as one sheet, near bright, in the order of the views."""
    import numpy as np
    from PIL import Image

    pictures = sorted(entry.glob("depth_*.png"), key=lambda p: int(p.stem.split("_")[1]))
    stack = np.stack([np.asarray(Image.open(p)) >> 8 for p in pictures]).astype(np.uint8)
    Image.fromarray(tile(stack[..., None])[..., 0]).save(path)


def _report(runner: Runner, job: Job, views: Any, seconds: float) -> dict[str, Any]:
    """report.json: who made it, what it measures, what to be careful about, what it cost."""
    outcomes = runner.outcomes
    measures = outcomes["quality"].load().measures if "quality" in outcomes else {}
    notes = [note for outcome in outcomes.values() for note in outcome.notes]
    report: dict[str, Any] = {"input": job.source.name, "name": job.stem, **measures}
    if views is not None:
        source = views.provenance
        report |= {
            "generator": source.generator,
            "learned_weights": source.learned_weights,
            "licences": list(source.licences),
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return report | {
        "warnings": list(dict.fromkeys(notes)),
        "seconds": {name: round(o.seconds, 3) for name, o in outcomes.items()},
        "seconds_this_run": round(seconds, 3),
        "cached": {name: o.cached for name, o in outcomes.items()},
        "peak_memory_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10)),
    }


def _run_record(runner: Runner, job: Job, request: Request, wanted: Wanted) -> dict[str, Any]:
    """run.json: enough to run it again."""
    stages = pipeline.PIPELINE.stages
    settings = runner.settings
    return {
        "input": {"path": str(job.source), "digest": job.digest},
        "preset": request.preset,
        "settings": settings,
        "files": asdict(wanted),
        "seeds": {n: s["seed"] for n, s in settings.items() if "seed" in s},
        "stages": {
            name: {"version": stages[name].version, "key": outcome.key}
            for name, outcome in runner.outcomes.items()
        },
        "identities": {
            name: dict(stage.identity(**settings[name]))
            for name, stage in stages.items()
            if stage.identity
        },
        "device": request.device,
        "versions": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
