"""Generators over a folder of objects: one table, resumable.

``OUT/rows.jsonl`` holds every object and generator as they are measured: a second run goes on from
there. ``OUT/views/GENERATOR/NAME.png`` are the views (RGBA, tiled), ``OUT/truth`` what they should
be. ``results.json``, ``table.md``, ``table.csv`` and ``sheet.png`` are written anew each time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2mesh.artifacts import View, ViewSet
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.evaluation import definitions, frechet, shape, tables
from img2mesh.evaluation.examples import Example, Source, object_radius
from img2mesh.evaluation.perceptual import Perceptual
from img2mesh.evaluation.views import measure, on_white
from img2mesh.imaging.sheet import COLUMNS, tile
from img2mesh.io.read_mesh import Surface

#: Figures in the order of the tables.
FIGURES = (*definitions.ALL, "seconds")
#: Side of a tile of the contact sheet, and objects on it at most.
_THUMB, _SHOWN = 72, 24
_SAMPLES = 30_000


@dataclass(frozen=True)
class Contender:
    """What is measured.

    Attributes:
        draw: an object's views from its photograph; fakes of tests may look at the truth.
        version: decides, with the name, whether a kept row still holds.
        mesh: views to a mesh in the world of their cameras; None measures views only.
    """

    draw: Callable[[Example], ViewSet]
    version: str = ""
    mesh: Callable[[ViewSet], Surface] | None = None


def run_suite(
    sources: list[Source],
    contenders: Mapping[str, Contender],
    out: Path,
    *,
    perceptual: Perceptual | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure every contender on every object and write the tables.

    Args:
        sources: the objects, see :func:`img2mesh.evaluation.examples.find_examples`.
        contenders: by name; the first is what the others are compared with, object by object.
        out: folder for everything; rows that are there are not measured again.
        perceptual: networks the user has weights for.
        note: told a line an object.

    Returns:
        What ``results.json`` holds.

    Raises:
        InputError: nothing to measure.
    """
    if not sources or not contenders:
        raise InputError("nothing to measure: no objects or no generators")
    networks = perceptual or Perceptual()
    out.mkdir(parents=True, exist_ok=True)
    kept = _Kept(out / "rows.jsonl")
    versions = {name: _version(name, one, networks) for name, one in contenders.items()}
    for number, source in enumerate(sources):
        missing = [n for n in contenders if (source.name, versions[n]) not in kept.rows]
        if not missing:
            continue
        try:
            example = source.open()
        except (Img2MeshError, ValueError, IndexError, KeyError) as cause:
            note(f"{source.name} is left out: {cause}")
            continue
        for name in missing:
            row = _row(example, name, contenders[name], out, networks)
            row |= {"example": source.name, "kind": source.kind, "version": versions[name]}
            kept.add(row)
            told = row.get("error") or f"psnr {row['psnr']:.2f} mask_iou {row['mask_iou']:.3f}"
            note(f"{number + 1}/{len(sources)} {source.name} {name}: {told}")
    chosen = [
        kept.rows[s.name, versions[n]]
        for s in sources
        for n in contenders
        if (s.name, versions[n]) in kept.rows
    ]
    return _write(chosen, list(contenders), [s.name for s in sources], out, networks)


class _Kept:
    """The rows on disk; a line torn by a kill is measured again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        if not file.exists():
            return
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            self.rows[row["example"], row["version"]] = row

    def add(self, row: dict[str, Any]) -> None:
        self.rows[row["example"], row["version"]] = row
        torn = self._file.exists() and not self._file.read_bytes().endswith(b"\n")
        with self._file.open("a", encoding="utf-8") as log:
            log.write("\n" * torn + json.dumps(row) + "\n")


def _version(name: str, one: Contender, networks: Perceptual) -> str:
    """Everything that decides a row beside the object."""
    what = json.dumps([name, one.version, one.mesh is not None, networks.names])
    return f"{name}@{hashlib.sha256(what.encode()).hexdigest()[:12]}"


def _row(
    example: Example, name: str, contender: Contender, out: Path, networks: Perceptual
) -> dict[str, Any]:
    """All figures of one object and contender; a contender that fails leaves its sentence."""
    started = time.perf_counter()
    try:
        views = contender.draw(example)
        seconds = time.perf_counter() - started
        truth = example.truth(views.cameras)
        found = measure(views.views, truth.views, networks)
        found.pop("views")
        row: dict[str, Any] = {"generator": name, "seconds": round(seconds, 3), **found}
        if contender.mesh is not None and example.surface is not None:
            row |= _mesh_figures(contender.mesh(views), example, object_radius(views.cameras))
    except Img2MeshError as cause:
        return {"generator": name, "error": str(cause)}
    for folder, drawn in ((out / "views" / name, views), (out / "truth" / name, truth)):
        _save(folder / f"{example.name}.png", drawn)
    photo = out / "photos" / f"{example.name}.png"
    if not photo.exists():
        _save_rgba(photo, np.dstack([example.cutout.rgb, example.cutout.alpha]))
    return row


def _mesh_figures(ours: Surface, example: Example, radius: float) -> dict[str, Any]:
    assert example.surface is not None
    theirs = replace(example.surface, vertices=example.surface.vertices * radius)
    found = shape.distances(ours, theirs, samples=_SAMPLES, seed=0)["visible"]
    return {
        **{k: found[k] for k in definitions.MESH if k in found},
        "volume_iou": shape.volume_iou(ours, theirs, samples=_SAMPLES, seed=0),
        "watertight": float(shape.describe(ours)["watertight"]),
    }


def _save(file: Path, views: ViewSet) -> None:
    _save_rgba(file, tile(np.concatenate([views.rgb, views.alpha[..., None]], axis=-1)))


def _save_rgba(file: Path, rgba: NDArray[Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(np.clip(rgba, 0, 1) * 255).astype(np.uint8)).save(file)


def _write(
    rows: list[dict[str, Any]], names: list[str], order: list[str], out: Path, networks: Perceptual
) -> dict[str, Any]:
    measured = [row for row in rows if "error" not in row]
    # Only objects that every contender could do are compared: else the hard ones count for some.
    everyone = set.intersection(
        *({r["example"] for r in measured if r["generator"] == n} for n in names)
    )
    fair = [row for row in measured if row["example"] in everyone]
    summary = tables.summarise(fair, FIGURES)
    if networks.features is not None and fair:
        for name in summary:
            distance = _frechet(out, name, sorted(everyone), networks)
            summary[name]["fid"] = [distance] * 3 + [len(everyone)]
    figures = [f for f in FIGURES if any(f in s for s in summary.values())]
    results = {
        "objects": len(everyone),
        "generators": summary,
        "differences": {"base": names[0], **tables.differences(fair, figures, names[0])},
        "classes": {
            kind: tables.summarise([r for r in fair if r["kind"] == kind], figures)
            for kind in sorted({row["kind"] for row in fair})
        },
        "failed": [r for r in rows if "error" in r],
        "definitions": definitions.used(figures),
        "networks": dict(networks.names),
        "background": "white",
        "intervals": f"95 %, percentile bootstrap over objects, {tables.RESAMPLES} resamples",
    }
    text = tables.markdown(summary, figures)
    lines = [f"- `{k}`: {v}" for k, v in definitions.used(figures).items()]
    lines += [f"- `{k}` by {v}" for k, v in networks.names]
    head = f"{len(everyone)} objects; mean and 95 % bootstrap interval over objects.\n\n"
    (out / "table.md").write_text(head + text + "\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (out / "table.csv").write_text(tables.as_csv(summary), encoding="utf-8")
    (out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    shown = [name for name in order if name in everyone][:_SHOWN]
    if shown:
        _contact_sheet(out, names, shown).save(out / "sheet.png")
    return results


def _frechet(out: Path, name: str, examples: list[str], networks: Perceptual) -> float:
    assert networks.features is not None
    sides = [
        [
            on_white(View(t[..., :3], t[..., 3], None))
            for example in examples
            for t in _tiles(out / kind / name / f"{example}.png")
        ]
        for kind in ("views", "truth")
    ]
    return frechet.of_pictures(sides[0], sides[1], networks.features)


def _tiles(file: Path) -> list[NDArray[np.float32]]:
    """The views of a saved sheet, float32 RGBA."""
    sheet = np.asarray(Image.open(file), np.float32) / np.float32(255)
    size = sheet.shape[1] // COLUMNS
    return [
        sheet[y : y + size, x : x + size]
        for y in range(0, sheet.shape[0], size)
        for x in range(0, sheet.shape[1], size)
    ]


def _contact_sheet(out: Path, names: list[str], examples: list[str]) -> Image.Image:
    """A band an object: the photograph, then a row of truth and a row a contender."""
    bands = []
    for example in examples:
        rows = []
        for folder in (f"truth/{names[0]}", *(f"views/{n}" for n in names)):
            sheet = Image.open(out / folder / f"{example}.png")
            tiles = sheet.resize((2 * _THUMB, sheet.height * 2 * _THUMB // sheet.width))
            small = np.asarray(tiles)
            cut = [
                small[y : y + _THUMB, x : x + _THUMB]
                for y in range(0, small.shape[0], _THUMB)
                for x in (0, _THUMB)
            ]
            rows.append(np.concatenate(cut, axis=1))
        block = np.concatenate(rows)
        photo = Image.open(out / "photos" / f"{example}.png").resize((2 * _THUMB, 2 * _THUMB))
        left = np.zeros((block.shape[0], 2 * _THUMB, 4), np.uint8)
        left[: 2 * _THUMB] = np.asarray(photo)[: block.shape[0]]
        bands.append(np.concatenate([left, block], axis=1))
    rgba = Image.fromarray(np.concatenate(bands))
    canvas = Image.new("RGB", rgba.size, (255, 255, 255))
    canvas.paste(rgba, mask=rgba.getchannel("A"))
    return canvas
