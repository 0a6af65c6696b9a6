"""The pipeline's side of Zero-1-to-3: a cutout in, the posed views of a rig with alpha out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.artifacts import Cutout, Provenance, View, ViewSet
from img2mesh.core.arrays import F32
from img2mesh.core.rigs import rig
from img2mesh.diffusion import adapters, checkpoints
from img2mesh.diffusion.loaded import loaded
from img2mesh.diffusion.speed import SpeedName
from img2mesh.geometry.elevation import NEIGHBOURS, PAIRS, SIZE, estimate_elevation
from img2mesh.imaging import matting
from img2mesh.imaging.framing import framed
from img2mesh.imaging.matching import Matcher, sift
from img2mesh.multiview.sampling import Consistency, Progress, Sampling
from img2mesh.multiview.zero123.model import Zero123
from img2mesh.multiview.zero123plus import choices
from img2mesh.multiview.zero123plus.views import pick_place

#: DDIM steps at each speed; the original demo takes 50.
STEPS: Mapping[SpeedName, int] = {"exact": 50, "fast": 25, "draft": 15}


def load(checkpoint: str, sampling: Sampling) -> Zero123:
    """The checkpoint where it was asked for, in half precision where that is fast.

    Raises:
        InputError: no such checkpoint or device.
    """
    place = pick_place(sampling)
    return Zero123.load(
        checkpoint,
        device=place.device,
        dtype=place.dtype,
        lora=sampling.adapter,
        low_memory=sampling.low_vram,
    )


def model_of(checkpoint: str, sampling: Sampling) -> AbstractContextManager[Zero123]:
    """The same, kept for the next photo of this process; see :mod:`img2mesh.diffusion.loaded`."""
    place, found = pick_place(sampling), checkpoints.locate(checkpoint)
    added = sampling.lora and adapters.identity(sampling.lora)
    key = (Zero123, found.folder, found.identity(), added, found.record.camera, place)
    return loaded(key, lambda: load(checkpoint, sampling))


def generate(
    cutout: Cutout,
    *,
    checkpoint: str,
    elevation: float | None,
    matcher: str,
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
        matcher: of those views: ``sift`` or the folder of a LightGlue.
        consistency: ``shared-attention`` lets the views see each other while they are drawn.
        sampling: steps, guidance, seed, and where.
        progress: told the fraction done.
        note: told what the user should know.

    Raises:
        InputError: no such checkpoint (says how to fetch it), or a part of it is missing.
    """
    record = checkpoints.locate(checkpoint).record
    licences, added = choices.origins(record, sampling.lora)
    notes = [*added]
    cameras, estimates = rig(record.rig), elevation is None
    tell = progress or (lambda fraction: None)
    steps = STEPS[sampling.speed] if sampling.steps is None else sampling.steps
    with model_of(checkpoint, sampling) as model:
        notes += [f"{record.name}: {sentence}" for sentence in model.parts.notes]
        notes.append(f"drawn at speed {sampling.speed}: {steps} steps, DDIM")
        size = model.size

        def draw(up: Sequence[float], side: Sequence[float], **more: Any) -> F32:
            drawn: F32 = model.sample(
                framed(cutout.rgb, cutout.alpha, size), up, side, [0.0] * len(up), steps=steps,
                guidance_scale=sampling.guidance_scale, width=size, height=size,
                seed=sampling.seed, **more,
            ).images.astype(np.float32)  # fmt: skip
            return drawn

        if elevation is None:
            around = draw(*zip(*NEIGHBOURS, strict=True), progress=lambda f: tell(0.4 * f))
            elevation = _estimated(around, _matcher(matcher, sampling), note)
        drawn = draw(
            [e - elevation for e in cameras.elevations_deg],
            list(cameras.azimuths_deg),
            input_elevation_deg=elevation,
            share_attention=consistency == "shared-attention",
            progress=(lambda f: tell(0.4 + 0.6 * f)) if estimates else tell,
        )
    cut = matting.remove_background(drawn, background=record.background)
    place = Path(checkpoint)
    return ViewSet(
        rgb=cut.rgb,
        alpha=cut.alpha,
        cameras=cameras.cameras(size),
        photo=View(cutout.rgb, cutout.alpha, None),
        provenance=Provenance(
            generator=place.name if place.exists() else checkpoint,
            learned_weights=True,
            exact=False,
            licences=licences,
            notes=(*notes, *cut.notes),
        ),
    )


def _matcher(name: str, sampling: Sampling) -> Matcher:
    if name == "sift":
        return sift
    from img2mesh.imaging.learned_matching import lightglue

    return lightglue(Path(name), device=str(pick_place(sampling).device))


def _estimated(neighbours: F32, match: Matcher, note: Callable[[str], None]) -> float:
    """The photo's elevation by its neighbours, or the horizon where they tell nothing; says so."""
    views = np.rint(neighbours * 255).astype(np.uint8)
    matches = {}
    for a, b in PAIRS:
        found = match(views[a], views[b])
        found[:, :4] *= SIZE / views.shape[1]
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
