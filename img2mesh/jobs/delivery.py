"""What a finished job leaves in its output folder: a plan of files, then one loop to place them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from img2mesh import report
from img2mesh.artifacts import TexturedMesh, ViewSet
from img2mesh.artifacts.codecs import write_rgba
from img2mesh.artifacts.game import GameParts
from img2mesh.core import failures, leftovers
from img2mesh.errors import Img2MeshError
from img2mesh.export.printing import Printable, printable
from img2mesh.graph import Outcome, Runner
from img2mesh.imaging.sheet import tile
from img2mesh.io.files import write_json
from img2mesh.io.gltf import glb_bytes
from img2mesh.jobs import claims, records
from img2mesh.jobs.job import Job
from img2mesh.jobs.mesh_files import mesh_files, write_archive
from img2mesh.jobs.request import OutputOptions, Request

#: What asset.zip leaves out, by purpose.
_NOT_PACKED = {"photo", "cutout", "views", "refined", "depths"}
#: Pictures that report.html holds, by purpose.
_SHOWN = ("preview", "parts", "cutout", "views", "depths", "refined")


_NOT_FOR_PRINTERS = (
    "mesh.stl is in metres with +y up, as the other files are; slicers take its numbers for "
    "millimetres and +z for up: --preset print writes it so"
)


@dataclass(frozen=True)
class Delivered:
    """A written output folder.

    Attributes:
        folder: where everything lies.
        files: what was written, by purpose (``mesh``, ``preview``, ...).
        report: the content of report.json.
        outcomes: what every stage made; loads from the cache as long as that is there.
    """

    folder: Path
    files: dict[str, Path]
    report: dict[str, Any]
    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True)
class Deliverable:
    """One file of the output folder; ``make`` writes it, and beside it what it refers to."""

    name: str
    purpose: str
    make: Callable[[Path], object]


def finished_asset(outcomes: Mapping[str, Outcome], name: str) -> TexturedMesh:
    """The deliverable under a name, with the maps that were made for it."""
    asset: TexturedMesh = replace(outcomes["asset"].load(), name=name)
    return outcomes["game"].load().with_maps(asset) if "game" in outcomes else asset


def deliver(
    runner: Runner,
    job: Job,
    request: Request,
    options: OutputOptions,
    folder: Path,
    *,
    seconds: float,
    cached: bool = True,
) -> Delivered:
    """Write the output folder from the runner's outcomes.

    Args:
        runner: what ran.
        job: the input.
        request: what was asked for.
        options: which files to leave.
        folder: where they go.
        seconds: what the run took.
        cached: a cache outlives the run, so that what was computed is not lost with the files.

    Raises:
        Img2MeshError: a file could not be written; names it and the cause.
    """
    try:
        plan = _Plan(runner, job, request, options, seconds)
        folder.mkdir(parents=True, exist_ok=True)
        claims.require_ours(folder)
        claims.writing(folder)
        for one in plan.deliverables():
            plan.placed[one.purpose] = place(folder, one)
        kept = {path for paths in plan.placed.values() for path in paths}
        for stale in set(claims.ours_in(folder)) - kept:
            stale.unlink()
        (folder / failures.NAME).unlink(missing_ok=True)
        claims.written(folder)
    except OSError as error:
        what = (
            "what was computed is kept in the cache, so the next run only writes"
            if cached
            else "without a cache nothing of it is kept"
        )
        raise Img2MeshError(
            f"cannot write the results to {folder}: {error.strerror or error}; {what}"
        ) from error
    files = {purpose: paths[0] for purpose, paths in plan.placed.items()}
    return Delivered(folder, files, plan.report, runner.outcomes)


def place(folder: Path, one: Deliverable) -> list[Path]:
    """Make a deliverable aside and rename what came of it into the folder, its own file last.

    Returns:
        Where everything lies, its own file first.
    """
    with leftovers.temporary(".img2mesh-", folder) as staging:
        one.make(Path(staging) / one.name)
        beside = sorted({path.name for path in Path(staging).iterdir()} - {one.name})
        for name in [*beside, one.name]:
            (Path(staging) / name).replace(folder / name)
    return [folder / name for name in [one.name, *beside]]


class _Plan:
    """What there is to place, in order; some files are made of those that are placed already.

    Attributes:
        placed: where each deliverable lies, by purpose: its own file, then those beside it.
        report: the content of report.json.
    """

    def __init__(
        self, runner: Runner, job: Job, request: Request, options: OutputOptions, seconds: float
    ) -> None:
        self._job, self._options, self._outcomes = job, options, runner.outcomes
        self._parts: GameParts = self._load("game") or GameParts()
        self._record = records.run_record(runner, job, request, options)
        self.placed: dict[str, list[Path]] = {}
        painter = runner.settings["asset"]["refiner"]
        self.report = records.report_of(runner.outcomes, job, seconds, painter=painter)

    def deliverables(self) -> Iterator[Deliverable]:
        """Every file; run.json comes last: its presence says that the others are in place."""
        made = "asset" in self._outcomes
        if made and "stl" in self._options.mesh_formats and not self._options.printing:
            self.report["warnings"].append(_NOT_FOR_PRINTERS)
        yield from self._meshes() if made else ()
        yield from self._pictures()
        yield from self._extras() if made else ()
        yield Deliverable("report.json", "report", partial(write_json, value=self.report))
        if made:
            yield Deliverable("report.html", "page", self._write_page)
        yield Deliverable("run.json", "run", self._write_record)

    def _write_record(self, path: Path) -> None:
        names = sorted({file.name for files in self.placed.values() for file in files})
        write_json(path, {**self._record, "delivered": names})

    def _meshes(self) -> Iterator[Deliverable]:
        asset, stored = self._outcomes["asset"], None
        if asset.folder is not None:
            stored = (asset.folder / "asset.glb").read_bytes()
        encoded = mesh_files(stored, asset.load, self._parts, self._job.stem, self._options)
        for name, data in encoded.items():
            yield Deliverable(name, Path(name).stem, partial(Path.write_bytes, data=data))
        for suffix in self._options.mesh_formats:
            if suffix in ("stl", "3mf") and self._options.printing:
                printed = self._printable
                yield Deliverable(
                    f"mesh.{suffix}", suffix, partial(printed.save, name=self._job.stem)
                )
            elif suffix != "glb":
                yield Deliverable(f"mesh.{suffix}", suffix, lambda path: self._asset().save(path))

    @cached_property
    def _printable(self) -> Printable:
        """The body for printers; told in the report."""
        found = printable(self._load("asset"))
        self.report["print"] = found.as_dict()
        self.report["warnings"] += found.notes
        return found

    def _pictures(self) -> Iterator[Deliverable]:
        for stage, purpose in (("photo", "photo"), ("cutout", "cutout"), ("quality", "preview")):
            if stored := self._stored(stage):
                copy = partial(shutil.copyfile, stored / f"{purpose}.png")
                yield Deliverable(f"{purpose}.png", purpose, copy)
        refined = self._load("refined")
        views = self._load("views") or refined
        if views is not None:
            yield Deliverable("views.png", "views", partial(_write_sheet, views))
            if "refined" in self._outcomes and _differ(views, refined):
                yield Deliverable("refined.png", "refined", partial(_write_sheet, refined))
        if stored := self._stored("depths"):
            yield Deliverable("depths.png", "depths", partial(_write_depths, stored))

    def _extras(self) -> Iterator[Deliverable]:
        if self._parts:
            yield Deliverable("game.png", "parts", self._draw_parts)
        if self._options.turntable:
            turn = partial(report.save_turntable, self._asset())
            yield Deliverable("turntable.webp", "turntable", turn)
        if self._options.archive:
            yield Deliverable("asset.zip", "archive", self._pack)

    def _load(self, name: str) -> Any:
        """What a stage made, or what was given in its place, or None; read once."""
        source = self._outcomes.get(name) or self._job.given.get(name)
        return source.load() if source else None

    def _stored(self, stage: str) -> Path | None:
        return self._outcomes[stage].folder if stage in self._outcomes else None

    def _asset(self) -> TexturedMesh:
        return finished_asset(self._outcomes, self._job.stem)

    def _draw_parts(self, path: Path) -> None:
        from PIL import Image

        picture = report.draw_parts(self._load("asset"), self._parts)
        Image.fromarray(picture).save(path, compress_level=6)

    def _pack(self, path: Path) -> None:
        packed = [
            file
            for purpose, files in self.placed.items()
            if purpose not in _NOT_PACKED
            for file in files
        ]
        write_archive(path, packed, self._job.stem)

    def _write_page(self, path: Path) -> None:
        shown = {name: self.placed[name][0] for name in _SHOWN if name in self.placed}
        pictures = {name: file.read_bytes() for name, file in shown.items()}
        if (photo := self._load("photo")) is not None:
            pictures = {"photo": report.small_photo(photo)} | pictures
        # The page has no decoder for KTX 2.
        decoded = self._options.texture_format != "ktx2"
        report.write_html(
            path,
            glb=self.placed["mesh"][0].read_bytes() if decoded else glb_bytes(self._asset()),
            report=self.report,
            title=self._job.stem,
            pictures=pictures,
            settings=self._record["settings"],
            known=report.striped(self._load("asset")),
        )


def _differ(views: ViewSet, refined: ViewSet) -> bool:
    return refined.rgb.shape != views.rgb.shape or bool((refined.rgb != views.rgb).any())


def _write_sheet(views: ViewSet, path: Path) -> None:
    write_rgba(path, tile(views.rgb), tile(views.alpha[..., None])[..., 0])


def _write_depths(entry: Path, path: Path) -> None:
    """The stored depth pictures as one sheet, near bright, in the order of the views."""
    import numpy as np
    from PIL import Image

    pictures = sorted(entry.glob("depth_*.png"), key=lambda p: int(p.stem.split("_")[1]))
    stack = np.stack([np.asarray(Image.open(p)) >> 8 for p in pictures]).astype(np.uint8)
    Image.fromarray(tile(stack[..., None])[..., 0]).save(path)
