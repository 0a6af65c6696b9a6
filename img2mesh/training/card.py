"""The model card: what was trained on what, for how long, and how it went."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from img2mesh.training.catalog import Entry

_CURVE = 16


def write_card(
    out: Path, facts: dict[str, Any], used: tuple[Entry, ...], *, parameters: int
) -> Path:
    """Write ``card.md`` beside the weights of a run.

    Args:
        out: the run's folder, see :mod:`img2mesh.training.commands`.
        facts: header of the weights.
        used: meshes trained on.
        parameters: of the network.

    Returns:
        The card.
    """
    lines = [
        f"# {facts['name']}",
        "",
        f"A network of {parameters / 1e6:.1f} million parameters: one picture with alpha -> 64 x "
        "64 columns of depth, normals, the back's colour and the camera's elevation. Unseen sides "
        "are a guess.",
        "",
        "## Data",
        "",
        f"{facts['meshes']} meshes and {facts['procedural']} procedural shapes:",
        "",
        "| licence | author | meshes |",
        "| --- | --- | --- |",
    ]
    held = Counter((e.licence, e.author) for e in used)
    lines += [f"| {licence} | {author} | {n} |" for (licence, author), n in sorted(held.items())]
    lines += ["", "## Learning curve", "", *curve(out / "run" / "log.jsonl"), ""]
    card = out / "card.md"
    card.write_text("\n".join(lines), encoding="utf-8")
    return card


def curve(log: Path) -> list[str]:
    """Some evenly spaced lines of a log as a Markdown table."""
    if not log.exists():
        return []
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    step = max(1, -(-len(rows) // _CURVE))
    chosen = rows[step - 1 :: step]
    if rows and (not chosen or chosen[-1] is not rows[-1]):
        chosen.append(rows[-1])
    columns = ("samples", "loss", "val_loss", "val_iou", "val_elevation_off_deg")
    head = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    body = [
        "| " + " | ".join(f"{r.get(c, float('nan')):.4g}" for c in columns) + " |" for r in chosen
    ]
    return head + body
