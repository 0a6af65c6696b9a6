"""The commands that measure a result against a reference: `img2mesh eval mesh` and `eval views`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from img2mesh.flags import AsJson

eval_app = typer.Typer(
    help="Measure a result against a reference; docs/evaluation.md defines every number.",
    no_args_is_help=True,
)

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


@eval_app.command("mesh")
def mesh(
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="Mesh file to judge.")],
    reference: Annotated[Path, typer.Argument(metavar="GT", help="Reference mesh, same frame.")],
    samples: Annotated[int, typer.Option(help="Samples on each surface.")] = 60_000,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Shape of a mesh against a reference in the same frame and scale."""
    from img2mesh.errors import InputError
    from img2mesh.evaluation import compare_meshes

    if not 100 <= samples <= 10_000_000:
        raise InputError(f"--samples must be 100 to 10000000, got {samples}")
    found = compare_meshes(pred, reference, samples=samples, seed=seed)
    if as_json:
        _json(found)
        return
    rows = [
        (name, f"{found['visible'][name]:.4f}", f"{found['surface'][name]:.4f}", what)
        for name, what in _SHAPE.items()
    ]
    _table(("metric", "visible", "all", "what it is"), rows)
    told = found["pred"]
    _say(
        f"{told['faces']} faces in {_count(told['components'], 'piece')}, "
        f"{'watertight' if told['watertight'] else 'not watertight'}, "
        f"Euler number {told['euler_number']}; diagonal of the reference {found['diagonal']:.4f}"
    )


@eval_app.command("views")
def views(
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="Mesh file, sheet or folder.")],
    reference: Annotated[
        Path, typer.Argument(metavar="GT", help="Folder of posed views, or a sheet for a sheet.")
    ],
    group: Annotated[
        str | None, typer.Option(help="List of GT's cameras.json.  [default: novel, if there]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pictures of a mesh (drawn unlit at GT's cameras), or given ones, against reference views."""
    from img2mesh.evaluation import compare_views

    found = compare_views(pred, reference, group=group)
    if as_json:
        _json(found)
        return
    rows = [(name, f"{found[name]:.4f}", what) for name, what in _PICTURE.items()]
    _table(("metric", "mean", "what it is"), rows)
    _say(f"{_count(found['count'], 'view')} on a {found['background']} background")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _json(value: dict[str, Any]) -> None:
    import json

    _say(json.dumps(value, indent=1))


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[k]) for row in [titles, *rows]) for k in range(len(titles))]
    for row in [titles, *rows]:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _say(line: str) -> None:
    import sys

    sys.stdout.write(line + "\n")
