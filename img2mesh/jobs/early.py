"""What can be known before the work is said before the work, and before torch is loaded.

Names and ranges of settings are checked where they are read, formats where they are chosen; here is
what depends on the machine, or on two settings at once.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from img2mesh import field, multiview
from img2mesh.core.devices import require_device
from img2mesh.core.lengths import parse_size
from img2mesh.diffusion import pictures
from img2mesh.errors import InputError, missing_extra
from img2mesh.jobs.request import OutputOptions, Request


def require_possible(request: Request, *, here: bool = True) -> None:
    """Find out that a job cannot end well.

    Args:
        request: what was asked for.
        here: it will run on this machine, not on a cluster's.

    Raises:
        InputError: a device, weights or two settings that do not go together.
        MissingExtraError: a library that a stage will ask for.
    """
    if here:
        require_device(request.device)
    graph = request.graph
    needed = graph.needed(request.until, graph.source)
    chosen = {n: graph.stages[n].resolve(request.settings.get(n, {})) for n in needed}
    if "photo" in chosen:
        pictures.require(chosen["photo"]["model"], purpose="--text")
    _require_weights(chosen.get("cutout", {}))
    if request.route == "distill":
        if "refined" in chosen:
            multiview.require_judge(chosen["refined"]["generator"])
    else:
        multiview.require_fitting(chosen.get("views", {}), chosen.get("refined", {}))
    fit = chosen.get("radiance", {})
    if fit and fit["fine_grid"] and fit["fine_grid"] < fit["grid"]:
        raise InputError(
            f"radiance.fine_grid is {fit['fine_grid']}, coarser than radiance.grid, which is "
            f"{fit['grid']}; expected 0, or that and more"
        )
    asset = chosen.get("asset", {})
    if asset.get("refiner") is not None:
        multiview.require_redrawer(asset["refiner"])
    if asset.get("size") is not None:
        if asset.get("unit") is not None:
            raise InputError("--size and --unit both say how large the asset is: give one of them")
        parse_size(str(asset["size"]))
    if here and fit:
        field.require_renderer(fit["renderer"], request.device)
    game, surface = chosen.get("game", {}), chosen.get("surface", {})
    if game.get("lods"):
        _require_library("meshoptimizer", "meshoptimizer", "lods", "levels of detail")
    if game.get("collision"):
        _require_library("coacd", "coacd", "collision", "collision hulls")
    if surface.get("remesh") == "triangle":
        _require_library("pymeshlab", "pymeshlab", "remesh", "--remesh triangle")
    if surface.get("remesh") == "quad":
        name = "pynanoinstantmeshes"
        _require_library(name, name, "remesh", "--remesh quad")


def require_writers(options: OutputOptions, request: Request) -> None:
    """Find out that a file cannot be written.

    Raises:
        InputError: a body for printers of a mesh whose up is not known.
        MissingExtraError: the library that writes it is not installed.
    """
    if options.printing and request.settings.get("asset", {}).get("frame", "asset") != "asset":
        raise InputError("--preset print stands the asset on the bed: leave --frame world out")
    if options.compress == "meshopt":
        _require_library("meshoptimizer", "meshoptimizer", "lods", "--compress meshopt")
    if "usdz" in options.mesh_formats:
        _require_library("pxr", "usd-core", "usd", "a .usdz file")


def _require_weights(cutout: dict[str, Any]) -> None:
    model = cutout.get("model")
    if cutout.get("segmenter") in ("sam", "onnx") and model and not Path(model).exists():
        raise InputError(f"cutout.model: there is no {model!r}; expected the segmenter's weights")


def _require_library(module: str, library: str, extra: str, purpose: str) -> None:
    try:
        there = importlib.util.find_spec(module) is not None
    except ValueError:  # it is loaded, by other means than an import
        there = True
    if not there:
        raise missing_extra(library, extra=extra, purpose=purpose)
