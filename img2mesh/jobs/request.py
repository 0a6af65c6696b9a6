"""What a user asks for, apart from the input: settings, where to compute, which files to leave."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from img2mesh import multiview, settings
from img2mesh.diffusion.checkpoints import locate, require_commercial
from img2mesh.errors import InputError
from img2mesh.graph import Graph
from img2mesh.pages.distilled import DISTILLATION
from img2mesh.pages.drawn import DRAWN
from img2mesh.pipeline import PIPELINE

#: The stage whose artifact completes a job.
LAST_STAGE = "quality"
#: Deliverables that are written from the asset when asked for; mesh.glb always is.
MESH_FORMATS = ("glb", "gltf", "obj", "ply", "stl", "3mf", "usdz")
#: Which page of the story: six views are drawn, from a photo or one drawn from text, or a field is
#: distilled.
Route = Literal["run", "text", "distill"]
GRAPHS: dict[Route, Graph] = {"run": PIPELINE, "text": DRAWN, "distill": DISTILLATION}
#: Where a format comes from that is not written here.
_WAYS = {"fbx": "; Blender makes FBX of mesh.glb in one line, see docs/printing.md"}
#: What ``--compress`` takes.
COMPRESSIONS = ("meshopt",)


@dataclass(frozen=True)
class Request:
    """What the user asked for, apart from the inputs themselves.

    Attributes:
        settings: every resolved setting that differs from the signatures, by stage.
        preset: the preset's name, for the record.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:0``, ``mps``: where, never what.
        low_memory: trade speed for memory where a stage can.
        until: last stage to run.
        force: stages to run again although they are cached.
        cache_dir: the stage cache; None runs without one.
        route: which page of the story.

    Raises:
        InputError: no such device or stage.
    """

    settings: settings.Settings = field(default_factory=dict)
    preset: str = "default"
    device: str = "auto"
    low_memory: bool = False
    until: str = LAST_STAGE
    force: frozenset[str] = frozenset()
    cache_dir: Path | None = None
    route: Route = "run"

    @property
    def graph(self) -> Graph:
        """The stages of the route."""
        return GRAPHS[self.route]

    def __post_init__(self) -> None:
        if self.device.split(":")[0] not in ("auto", "cpu", "cuda", "mps"):
            raise InputError(f"unknown device {self.device!r}; use auto, cpu, cuda, cuda:N or mps")
        object.__setattr__(self, "until", settings.stage_called(self.graph, self.until))
        forced = (settings.stage_called(self.graph, name) for name in self.force)
        object.__setattr__(self, "force", frozenset(forced))


@dataclass(frozen=True)
class OutputOptions:
    """Which files the user wants, and in what form.

    Attributes:
        mesh_formats: of ``MESH_FORMATS``.
        turntable: also turntable.webp.
        texture_format: of the pictures inside GLB files, one of ``glb.TEXTURE_FORMATS``.
        compress: ``meshopt`` for small GLB files beside the plain ones.
        archive: also asset.zip.
        printing: STL and 3MF are made for printers, see :mod:`img2mesh.export.printing`.

    Raises:
        InputError: a format or compression there is not, or one whose program is missing.
    """

    mesh_formats: tuple[str, ...] = ("glb",)
    turntable: bool = False
    texture_format: str = "png"
    compress: str | None = None
    archive: bool = False
    printing: bool = False

    def __post_init__(self) -> None:
        from img2mesh.io.gltf import TEXTURE_FORMATS
        from img2mesh.io.ktx2 import require_ktx2

        _require("mesh format", self.mesh_formats, MESH_FORMATS)
        _require("texture format", [self.texture_format], TEXTURE_FORMATS)
        _require("compression", [self.compress] if self.compress else [], COMPRESSIONS)
        if self.texture_format == "ktx2":
            require_ktx2()  # before an hour's work, not after it


def _require(what: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        way = _WAYS.get(unknown[0], "")
        raise InputError(f"unknown {what} {unknown[0]!r}; known are {', '.join(known)}{way}")


def request_from(
    *,
    preset: str = "default",
    config: Path | None = None,
    assignments: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    low_vram: bool = False,
    offline: bool = False,
    commercial_only: bool = False,
    until: str = LAST_STAGE,
    first: str | None = None,
    force: str | None = None,
    cache_dir: Path | None = None,
    no_cache: bool = False,
    recipe: str | None = None,
    route: Route = "run",
) -> Request:
    """Flags to a request; ``overrides`` maps ``stage.setting`` to a value or None (not given).

    A preset and flags of the first page may name stages that another has not: they are left out.

    Raises:
        InputError: anything the pipeline does not know.
    """
    flags: settings.Settings = {}
    for target, value in (overrides or {}).items():
        if value is not None:
            stage, _, name = target.partition(".")
            flags.setdefault(stage, {})[name] = value
    graph = GRAPHS[route]
    layers = [settings.load_preset(preset)]
    if recipe is not None:
        layers.append(settings.load_preset(recipe, folder=route))
    if route == "distill":
        layers = [{n: t for n, t in one.items() if n in graph.stages} for one in layers]
    if config is not None:
        layers.append(settings.load_config(config))
    forced: list[str] = []
    if force is not None:
        forced += graph.order if force == "all" else [force]
    if first is not None:
        forced += graph.order[graph.order.index(settings.stage_called(graph, first)) :]
    resolved = settings.resolve(graph, *layers, flags, assignments=assignments or ())
    if commercial_only:
        painter = graph.stages["asset"].resolve(resolved.get("asset", {}))["refiner"]
        if painter is not None:
            require_commercial(locate(painter).record)
        if route == "text":
            drawing = graph.stages["photo"].resolve(resolved.get("photo", {}))
            require_commercial(locate(drawing["model"]).record)
        if route != "distill":
            refined = graph.stages["refined"].resolve(resolved.get("refined", {}))
            views = graph.stages["views"].resolve(resolved.get("views", {}))
            multiview.require_commercial(
                generator_of(resolved),
                controlnet=refined["controlnet"],
                normals=views["normals"],
                lora=views["lora"],
                refiner=refined["refiner"],
            )
        else:
            multiview.require_commercial(
                generator_of(resolved, route), controlnet=None, normals=False
            )
    if offline:
        stay_offline()
    return Request(
        settings=resolved,
        preset=preset,
        device=device,
        low_memory=low_vram,
        until=until,
        force=frozenset(forced),
        cache_dir=None if no_cache else (cache_dir or default_cache_dir()),
        route=route,
    )


def generator_of(given: Mapping[str, Mapping[str, Any]], route: Route = "run") -> str:
    """The generator that some settings choose, or that the route does."""
    stage = "refined" if route == "distill" else "views"
    return str(GRAPHS[route].stages[stage].resolve(given.get(stage, {}))["generator"])


def stay_offline() -> None:
    """Hold third-party libraries to what a run does anyway: it downloads nothing."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def output_options(
    formats: str,
    turntable: bool,
    texture_format: str = "png",
    compress: str | None = None,
    archive: bool = False,
    preset: str = "default",
) -> OutputOptions:
    """The flags that choose files; ``formats`` is a list such as ``glb,obj``.

    Raises:
        InputError: a preset, mesh format, texture format or compression there is not.
    """
    wanted = settings.preset_files(preset)
    names = [name.strip().lower().lstrip(".") for name in formats.split(",") if name.strip()]
    texture = texture_format.lower().replace("jpg", "jpeg")
    return OutputOptions(
        tuple(dict.fromkeys(["glb", *names, *wanted.get("formats", ())])),
        turntable,
        texture,
        compress,
        archive,
        bool(wanted.get("printing", False)),
    )


def default_cache_dir() -> Path:
    """``$IMG2MESH_CACHE`` or the system's place for caches."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("IMG2MESH_CACHE")
    return Path(chosen) if chosen else user_cache_path("img2mesh")
