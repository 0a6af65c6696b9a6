"""A finished (or interrupted) run -> the weights file that the generator loads."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from img2mesh.training.catalog import Entry


def export(
    checkpoint: Path, file: Path, entries: tuple[Entry, ...], *, name: str, widths: dict[str, int]
) -> dict[str, Any]:
    """Write the averaged weights in half precision, with what they were trained on in the header.

    Args:
        checkpoint: of :mod:`img2mesh.training.loop`.
        file: the ``.safetensors`` to write.
        entries: the meshes trained on.
        name: what the network is to be called.
        widths: keyword arguments of the network.

    Returns:
        The header: ``name``, ``meshes``, ``procedural``, ``licences``, ``steps``, ``widths``.
    """
    from safetensors.torch import save_file

    kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
    names = {Path(f).stem for f in json.loads(kept["files"])}
    used = [e for e in entries if e.name in names and not e.procedural]
    licences = Counter(e.licence for e in used)
    facts = {
        "name": name,
        "meshes": len(used),
        "procedural": sum(e.procedural for e in entries if e.name in names),
        "licences": sorted(licences),
        "steps": kept["step"],
        "widths": widths,
    }
    weights = {
        k: (v.half() if v.is_floating_point() else v).contiguous()
        for k, v in kept["average"].items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    save_file(weights, aside, metadata={"img2mesh": json.dumps(facts, sort_keys=True)})
    aside.replace(file)
    return facts
