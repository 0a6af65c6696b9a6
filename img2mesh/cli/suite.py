"""The body of ``img2mesh eval suite``: generators by name as contenders."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from img2mesh import pipeline
from img2mesh.artifacts import ViewSet
from img2mesh.errors import InputError
from img2mesh.evaluation.examples import Example, find_examples
from img2mesh.evaluation.perceptual import Net, Perceptual
from img2mesh.evaluation.suite import Contender, run_suite
from img2mesh.graph import Run
from img2mesh.io.read_mesh import Surface, load_surface
from img2mesh.multiview import embedded, identity


def measure_generators(
    folder: Path,
    *,
    generators: str,
    out: Path,
    split: str,
    limit: int | None,
    tile: int,
    meshes: bool,
    seed: int,
    steps: int,
    guidance_scale: float,
    device: str,
    lpips: Path | None,
    lpips_net: Net,
    clip: Path | None,
    features: Path | None,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Measure generators as ``run`` names them; see :func:`img2mesh.evaluation.suite.run_suite`.

    Raises:
        InputError: no objects, an unknown generator, or weights that cannot be used; before any
            work.
    """
    names = list(dict.fromkeys(n.strip() for n in generators.split(",") if n.strip()))
    if not names:
        raise InputError("--generators names none: give some of learned, geometric, a folder, ...")
    networks = Perceptual.load(lpips=lpips, lpips_net=lpips_net, clip=clip, features=features)
    drawing = {"steps": steps, "guidance_scale": guidance_scale, "seed": seed}
    contenders = {
        Path(n).name: _contender(
            n, {"tile": tile} if embedded(n) else drawing, mesh=meshes, device=device
        )
        for n in names
    }
    if len(contenders) < len(names):
        raise InputError(f"two of the generators {generators} have one name; rename a folder")
    return run_suite(
        find_examples(folder, split=split, limit=limit, seed=seed),
        contenders,
        out,
        perceptual=networks,
        note=note,
    )


def _contender(generator: str, settings: dict[str, Any], *, mesh: bool, device: str) -> Contender:
    """A generator as the pipeline runs it, with the settings that it listens to."""

    def draw(example: Example) -> ViewSet:
        run = Run(device=device)
        return pipeline.views(example.cutout, generator=generator, **settings, run=run)

    def reconstruct(views: ViewSet) -> Surface:
        from img2mesh.api import reconstruct_views

        asset = reconstruct_views(
            views, device=device, cache=None, settings={"asset": {"frame": "world"}}
        )
        with tempfile.TemporaryDirectory(prefix="img2mesh-suite-") as folder:
            asset.save(Path(folder) / "mesh.glb")
            return load_surface(Path(folder) / "mesh.glb")

    version = json.dumps([identity(generator=generator), settings], sort_keys=True)
    return Contender(draw, version, reconstruct if mesh else None)
