"""Rows of figures -> means with bootstrap intervals, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.evaluation import definitions

RESAMPLES = 2000
#: Digits after the point of figures that are no shares.
_DIGITS = {"psnr": 2, "psnr_object": 2, "psnr_tiled": 2, "chamfer_pct": 2, "fid": 3, "seconds": 2}


def interval(values: NDArray[Any], *, seed: int = 0) -> tuple[float, float, float]:
    """Mean and the 95 % bootstrap interval of it (percentiles of means over resampled objects)."""
    values = np.asarray(values, np.float64)
    picks = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[picks].mean(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def summarise(rows: Iterable[Mapping[str, Any]], figures: Sequence[str]) -> dict[str, Any]:
    """``generator -> figure -> [mean, low, high, objects]`` over rows that have the figure."""
    rows = list(rows)
    out: dict[str, Any] = {}
    for generator in dict.fromkeys(row["generator"] for row in rows):
        mine = [row for row in rows if row["generator"] == generator]
        out[generator] = {}
        for figure in figures:
            found = [row[figure] for row in mine if row.get(figure) is not None]
            if found:
                out[generator][figure] = [*interval(np.array(found)), len(found)]
    return out


def differences(
    rows: Iterable[Mapping[str, Any]], figures: Sequence[str], base: str
) -> dict[str, Any]:
    """The same for differences to a base generator on the same object: paired, so far sharper."""
    rows = list(rows)
    zero = {row["example"]: row for row in rows if row["generator"] == base}
    paired = [
        {
            "generator": row["generator"],
            **{
                f: row[f] - zero[row["example"]][f]
                for f in figures
                if row.get(f) is not None and zero[row["example"]].get(f) is not None
            },
        }
        for row in rows
        if row["generator"] != base and row["example"] in zero
    ]
    return summarise(paired, figures)


def markdown(summary: Mapping[str, Mapping[str, Any]], figures: Sequence[str]) -> str:
    """A table: a line a figure, a column a generator; mean and interval."""
    names = list(summary)
    shown = [f for f in figures if any(f in summary[n] for n in names)]
    lines = [
        "| figure | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(names),
    ]
    for figure in shown:
        arrow = "↓" if figure in definitions.LOWER else ""
        cells = [_cell(figure, summary[n].get(figure)) for n in names]
        lines.append(f"| `{figure}` {arrow}".rstrip() + " | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(figure: str, found: Sequence[float] | None) -> str:
    if found is None:
        return "–"
    digits = _DIGITS.get(figure, 3)
    mean, low, high = (f"{v:.{digits}f}" for v in found[:3])
    return mean if low == mean == high else f"{mean} [{low}, {high}]"


def as_csv(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a generator and figure, with what the figure is."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["generator", "figure", "mean", "low_95", "high_95", "objects", "definition"])
    for generator, figures in summary.items():
        for figure, found in figures.items():
            numbers = [f"{v:.6g}" for v in found[:3]]
            writer.writerow(
                [generator, figure, *numbers, found[3], definitions.ALL.get(figure, "")]
            )
    return text.getvalue()
