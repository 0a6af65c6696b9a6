"""The body of ``img2mesh train shape``: a folder of meshes -> weights and a model card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from img2mesh.errors import InputError
from img2mesh.training.catalog import read_catalog
from img2mesh.training.procedural import procedural_entries

#: Where a run keeps what it makes, inside its folder.
DATA, RUN, WEIGHTS, CARD = "data", "run", "shape.safetensors", "card.md"


def train_shape(
    meshes: Path,
    out: Path,
    *,
    steps: int = 20_000,
    batch: int = 24,
    views: int = 4,
    passes: int = 4,
    procedural: int = 600,
    processes: int = 2,
    threads: int | None = None,
    seed: int = 0,
    name: str = "shape",
    initial: Path | None = None,
    resume: bool = False,
    prepare_only: bool = False,
    train_only: bool = False,
    note: Callable[[str], None] = print,
) -> Path:
    """Prepare items, train and write weights with their card.

    Stop it whenever you like: prepared items stay, and with ``resume`` the run goes on from its
    last checkpoint as if nothing had happened. More ``steps`` than before make a finished run
    longer. With ``torchrun`` every process takes its own batch; prepare the items first then.

    Args:
        meshes: folder, see :func:`img2mesh.training.catalog.read_catalog`; light probes (Radiance
            ``.hdr``) are taken from its folder ``hdri`` where there is one.
        out: ``data``, ``run``, ``shape.safetensors`` and ``card.md`` go here.
        steps: length of the whole run.
        batch: items a step and process.
        views, passes: random views of a mesh in one pass over all meshes, and passes.
        procedural: random shapes besides, :mod:`img2mesh.training.procedural`; together they are
            drawn about as often as one large class of meshes.
        processes: how many prepare items at once.
        threads: of the training; None = as many as torch takes.
        seed: decides every chance.
        name: of the network, as reports will show it.
        initial: weights to begin with, of the same widths.
        resume: go on with the run in ``out``; without it one that is there is an error.
        prepare_only, train_only: half of the work.
        note: told about the progress in lines.

    Returns:
        The weights file; give its path as ``--generator`` to use it.

    Raises:
        InputError: no meshes, nothing prepared, a run is there already, or a needed package is
            missing; says which.
    """
    if (out / RUN / "checkpoint.pt").exists() and not (resume or prepare_only):
        raise InputError(f"{out} holds a run already: --resume goes on with it")
    entries = read_catalog(meshes) + procedural_entries(procedural)
    training = tuple(e for e in entries if e.split == "train")
    held_out = tuple(e for e in entries if e.split == "val")
    if not train_only:
        from img2mesh.training.prepare import prepare

        note(
            f"preparing views of {len(training) - procedural} meshes and {procedural} procedural "
            f"shapes to learn from, {len(held_out)} meshes to measure"
        )
        last = [0.0]

        def progress(done: float) -> None:
            if done - last[0] >= 0.05 or done == 1:
                last[0] = done
                note(f"prepared {done:.0%}")

        failed = prepare(
            entries,
            out / DATA,
            views=views,
            passes=passes,
            processes=processes,
            seed=seed,
            progress=progress,
        )
        if failed:
            note(f"{failed} meshes could not be used: see {out / DATA / 'failed'}")
    weights = out / WEIGHTS
    if prepare_only:
        return weights
    try:
        import accelerate  # noqa: F401
        import kornia  # noqa: F401
    except ImportError as cause:
        raise InputError(
            f"training needs {cause.name}: install the extra with pip install 'img2mesh[train]'"
        ) from cause
    import torch
    from safetensors.torch import load_file

    from img2mesh.training.card import write_card
    from img2mesh.training.export import export
    from img2mesh.training.light import read_probes
    from img2mesh.training.loop import Plan, train

    if threads is not None:
        torch.set_num_threads(threads)
    plan = replace(Plan(steps=steps), batch=batch, seed=seed)
    begin = None
    if initial is not None:
        begin = {
            k: v.float() if v.is_floating_point() else v for k, v in load_file(initial).items()
        }
    finished = train(
        out / DATA,
        out / RUN,
        training,
        held_out,
        read_probes(meshes / "hdri"),
        plan,
        initial=begin,
        note=note,
    )
    if int(os.environ.get("RANK", "0")):  # of several processes the first one writes
        return weights
    facts = export(out / RUN / "checkpoint.pt", weights, training, name=name, widths={})
    write_card(out, facts, training, parameters=sum(p.numel() for p in finished.parameters()))
    note(json.dumps(facts))
    return weights
