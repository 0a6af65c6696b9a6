"""``img2mesh eval``: measure a result against a reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from img2mesh.cli.flags import Command, Option, options
from img2mesh.cli.output import print_json, say

FILE = click.Path(path_type=Path)

#: What each number is, for people; docs/evaluation.md says it in full.
_SHAPE = {
    "f_1": "share of samples within 1 % of the reference's diagonal, both ways (F-score)",
    "f_2": "the same at 2 %",
    "f_5": "the same at 5 %",
    "chamfer_pct": "mean distance, both ways, in % of the diagonal",
    "hausdorff_99": "99 % of samples are nearer than this, in world units",
    "normal_consistency": "mean |cos| between the normals of nearest points",
}
_PICTURE = {
    "psnr": "dB over the whole picture on white",
    "psnr_object": "dB over pixels that either side covers",
    "ssim": "structural similarity, 7x7 window",
    "mask_iou": "overlap of the silhouettes",
    "mask_iou_worst": "the same in the worst view",
}


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
    from img2mesh.evaluation import compare_meshes

    if not 100 <= samples <= 10_000_000:
        raise InputError(f"--samples must be 100 to 10000000, got {samples}")
    found = compare_meshes(pred, reference, samples=samples, seed=seed)
    if as_json:
        print_json(found)
        return
    rows = [
        (name, f"{found['visible'][name]:.4f}", f"{found['surface'][name]:.4f}", what)
        for name, what in _SHAPE.items()
    ]
    _table(("metric", "visible", "all", "what it is"), rows)
    told = found["pred"]
    say(
        f"{told['faces']} faces in {_count(told['components'], 'piece')}, "
        f"{'watertight' if told['watertight'] else 'not watertight'}, "
        f"Euler number {told['euler_number']}; diagonal of the reference {found['diagonal']:.4f}"
    )


@options(
    Option("--group", str, "List of GT's cameras.json.  [default: novel, if there]"), "as_json"
)
@evaluate.command(cls=Command)
@click.argument("pred", metavar="PRED", type=FILE)
@click.argument("reference", metavar="GT", type=FILE)
def views(pred: Path, reference: Path, group: str | None, as_json: bool) -> None:
    """Pictures of PRED against reference views.

    PRED is a mesh file (drawn unlit at GT's cameras), a sheet or a folder; GT is a folder of posed
    views, or a sheet for a sheet.
    """
    from img2mesh.evaluation import compare_views

    found = compare_views(pred, reference, group=group)
    if as_json:
        print_json(found)
        return
    rows = [(name, f"{found[name]:.4f}", what) for name, what in _PICTURE.items()]
    _table(("metric", "mean", "what it is"), rows)
    say(f"{_count(found['count'], 'view')} on a {found['background']} background")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns in full, however narrow the terminal is."""
    widths = [max(len(row[k]) for row in [titles, *rows]) for k in range(len(titles))]
    for row in [titles, *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
