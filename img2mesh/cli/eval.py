"""``img2mesh eval``: measure a result against a reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from img2mesh.cli.flags import Command, Option, call, options
from img2mesh.cli.output import print_json, say

FILE = click.Path(path_type=Path)

#: Weights that some figures need; nothing is fetched.
NETWORKS = (
    Option("--lpips", Path, "Also LPIPS, with torchvision's backbone weights from this file."),
    Option("--lpips-net", click.Choice(["alex", "vgg", "squeeze"]), "Which backbone that is.",
           default="alex", metavar="alex|vgg|squeeze"),
    Option("--clip", Path, "Also CLIP similarity, by the CLIP model in this folder.",
           metavar="DIR"),
    Option("--features", Path, "Also FID, by the features of this ONNX network."),
)  # fmt: skip


@click.group("eval", no_args_is_help=True)
def evaluate() -> None:
    """Measure a result against a reference; docs/evaluation.md defines every number."""


@options(
    Option("--samples", int, "Samples on each surface.", default=60_000),
    Option("--seed", int, "Seed of the sampling.", default=0),
    "as_json",
)
@evaluate.command(cls=Command)
@click.argument("pred", metavar="PRED", type=FILE)
@click.argument("reference", metavar="GT", type=FILE)
def mesh(pred: Path, reference: Path, samples: int, seed: int, as_json: bool) -> None:
    """Shape of the mesh file PRED against the reference GT in the same frame and scale."""
    from img2mesh.errors import InputError
    from img2mesh.evaluation import compare_meshes, definitions

    if not 100 <= samples <= 10_000_000:
        raise InputError(f"--samples must be 100 to 10000000, got {samples}")
    found = compare_meshes(pred, reference, samples=samples, seed=seed)
    if as_json:
        print_json(found)
        return
    rows = [
        (name, f"{found['visible'][name]:.4f}", f"{found['surface'][name]:.4f}", what)
        for name, what in definitions.SHAPE.items()
    ]
    _table(("metric", "visible", "all", "what it is"), rows)
    if found["volume_iou"] is not None:
        say(f"volume_iou {found['volume_iou']:.4f}: {definitions.VOLUME['volume_iou']}")
    told = found["pred"]
    say(
        f"{told['faces']} faces in {_count(told['components'], 'piece')}, "
        f"{'watertight' if told['watertight'] else 'not watertight'}, "
        f"Euler number {told['euler_number']}; diagonal of the reference {found['diagonal']:.4f}"
    )


@options(
    Option("--group", str, "List of GT's cameras.json.  [default: novel, if there]"),
    *NETWORKS,
    "as_json",
)
@evaluate.command(cls=Command)
@click.argument("pred", metavar="PRED", type=FILE)
@click.argument("reference", metavar="GT", type=FILE)
def views(pred: Path, reference: Path, group: str | None, as_json: bool, **flags: Any) -> None:
    """Pictures of PRED against reference views.

    PRED is a mesh file (drawn unlit at GT's cameras), a sheet or a folder; GT is a folder of posed
    views, or a sheet for a sheet.
    """
    from img2mesh.evaluation import compare_views
    from img2mesh.evaluation.perceptual import Perceptual

    found = compare_views(pred, reference, group=group, perceptual=call(Perceptual.load, flags))
    if as_json:
        print_json(found)
        return
    rows = [(name, f"{found[name]:.4f}", what) for name, what in found["definitions"].items()]
    _table(("metric", "mean", "what it is"), rows)
    say(f"{_count(found['count'], 'view')} on a {found['background']} background")


@options(
    Option("--generators", str, "Comma-separated, as run takes them; the first is compared with.",
           metavar="A,B,C", default="geometric,learned"),
    Option("--out -o", Path, "Rows, views and tables go here; a second run goes on.",
           required=True, metavar="DIR"),
    Option("--split", click.Choice(["auto", "train", "val", "all"]),
           "Which meshes; auto: val where a manifest speaks of it.", default="auto",
           metavar="auto|train|val|all"),
    Option("--limit", click.IntRange(1), "Objects at most."),
    Option("--tile", click.IntRange(16), "Side of a view, where a generator leaves it free.",
           default=256),
    Option("--meshes", bool, "Also reconstruct a mesh of every set of views and measure it.",
           default=False),
    Option("--seed", int, "Of order, noise and samples.", default=42),
    Option("--steps", click.IntRange(1), "Denoising steps of a learned generator.", default=28),
    Option("--guidance-scale", float, "Its classifier-free guidance.", default=4.0),
    Option("--device", str, "auto, cpu, cuda, cuda:N or mps.", metavar="NAME", default="auto"),
    *NETWORKS,
    "as_json",
)  # fmt: skip
@evaluate.command(cls=Command)
@click.argument("folder", metavar="DIR", type=FILE)
def suite(folder: Path, as_json: bool, **flags: Any) -> None:
    """Generators over the objects of DIR: views against true views, one table.

    DIR holds meshes (best with a manifest.csv), Google Scanned Objects, or renders of
    img2mesh render --layout zero123plus.
    """
    from img2mesh.cli.suite import measure_generators

    found = call(measure_generators, flags, folder, note=lambda line: click.echo(line, err=True))
    if as_json:
        print_json(found)
    else:
        say((flags["out"] / "table.md").read_text(encoding="utf-8").rstrip())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns in full, however narrow the terminal is."""
    widths = [max(len(row[k]) for row in [titles, *rows]) for k in range(len(titles))]
    for row in [titles, *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
