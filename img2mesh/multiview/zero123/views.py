"""The pipeline's side of Zero-1-to-3: a cutout in, the posed views of a rig with alpha out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from img2mesh.artifacts import Cutout, Provenance, View, ViewSet
from img2mesh.core.rigs import rig
from img2mesh.diffusion import checkpoints
from img2mesh.geometry.elevation import NEIGHBOURS, PAIRS, SIZE, estimate_elevation
from img2mesh.imaging import matching, matting
from img2mesh.imaging.framing import framed
from img2mesh.multiview.sampling import Consistency, Progress, Sampling
from img2mesh.multiview.zero123.model import Zero123
from img2mesh.multiview.zero123plus.views import pick_device


def load(checkpoint: str, sampling: Sampling) -> Zero123:
    """The checkpoint on the device that was asked for, in half precision where that is fast.

    Raises:
        InputError: no such checkpoint or device.
    """
    import torch

    device = pick_device(sampling.device)
    return Zero123.load(
        checkpoint,
        device=device,
        dtype=torch.float16 if device.type == "cuda" else torch.float32,
        low_memory=sampling.low_vram,
        commercial_only=sampling.commercial_only,
    )


def generate(
    cutout: Cutout,
    *,
    checkpoint: str,
    elevation: float | None,
    consistency: Consistency,
    sampling: Sampling,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> ViewSet:
    """Draw the views of a six-view rig, one camera move each.

    Args:
        cutout: the object; it is put on white, its longest side 200 of 256 of the frame.
        checkpoint: a name of ``models list`` that was fetched, a folder, or a ``.ckpt`` file.
        elevation: of the photo's camera in degrees, which places the views in the world; None
            has it estimated from four more views.
        consistency: ``shared-attention`` lets the views see each other while they are drawn.
        sampling: steps, guidance, seed, and where.
        progress: told the fraction done.
        note: told what the user should know.

    Raises:
        InputError: no such checkpoint (says how to fetch it), or a part of it is missing.
    """
    record = checkpoints.locate(checkpoint, commercial_only=sampling.commercial_only).record
    model = load(checkpoint, sampling)
    picture = framed(cutout.rgb, cutout.alpha, model.size)
    notes = [record.note] if record.note else []
    notes += [f"{record.name}: {sentence}" for sentence in model.parts.notes]
    shares = (0.0, 1.0) if elevation is not None else (0.4, 0.6)

    def tell(fraction: float) -> None:
        if progress is not None:
            progress(shares[0] + shares[1] * fraction)

    if elevation is None:
        elevation = _estimated(model, picture, sampling, note, lambda f: tell((f - 1) * 2 / 3))
    cameras = rig(record.rig)
    moves = [e - elevation for e in cameras.elevations_deg]
    drawn = model.sample(
        picture,
        moves,
        list(cameras.azimuths_deg),
        [0.0] * len(moves),
        steps=sampling.steps,
        guidance_scale=sampling.guidance_scale,
        width=model.size,
        height=model.size,
        seed=sampling.seed,
        input_elevation_deg=elevation,
        share_attention=consistency == "shared-attention",
        progress=tell,
    ).images.astype(np.float32)
    cut = matting.remove_background(drawn, background=record.background)
    place = Path(checkpoint)
    return ViewSet(
        rgb=cut.rgb,
        alpha=cut.alpha,
        cameras=cameras.cameras(model.size),
        photo=View(cutout.rgb, cutout.alpha, None),
        provenance=Provenance(
            generator=place.name if place.exists() else checkpoint,
            learned_weights=True,
            exact=False,
            licences=(record.licence,),
            notes=(*notes, *cut.notes),
        ),
    )


def _estimated(
    model: Zero123,
    picture: Image.Image,
    sampling: Sampling,
    note: Callable[[str], None],
    progress: Progress,
) -> float:
    """The photo's elevation by its neighbours, or the horizon where they tell nothing; says so."""
    drawn = model.sample(
        picture,
        [up for up, _ in NEIGHBOURS],
        [side for _, side in NEIGHBOURS],
        [0.0] * len(NEIGHBOURS),
        steps=sampling.steps,
        guidance_scale=sampling.guidance_scale,
        width=model.size,
        height=model.size,
        seed=sampling.seed,
        progress=progress,
    ).images
    scale = SIZE / model.size
    views = np.rint(drawn * 255).astype(np.uint8)
    matches = {}
    for a, b in PAIRS:
        found = matching.sift(views[a], views[b])
        found[:, :4] *= scale
        matches[a, b] = found
    told = estimate_elevation(matches)
    if told.degrees is None:
        note(
            f"the photo's elevation could not be estimated ({told.reason}) and is taken for 0 "
            "degrees; say it with --elevation if it is not"
        )
        return 0.0
    note(f"the photo's elevation is estimated at {told.degrees:.0f} degrees, from neighbour views")
    return told.degrees
