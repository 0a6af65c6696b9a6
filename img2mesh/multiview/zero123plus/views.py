"""The pipeline's side of Zero123++: cutouts in, posed view sets with alpha out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from img2mesh.artifacts import Cutout, DepthSet, Provenance, View, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.diffusion import adapters, checkpoints
from img2mesh.diffusion.loaded import loaded
from img2mesh.diffusion.place import pick_device, pick_dtype
from img2mesh.diffusion.speed import SPEEDS, Execution
from img2mesh.diffusion.store import fingerprint
from img2mesh.errors import InputError
from img2mesh.imaging import matting
from img2mesh.imaging.sheet import COLUMNS, ROWS, untile
from img2mesh.multiview.sampling import Progress, Sampling, shares
from img2mesh.multiview.zero123plus import choices, depth_image, normals
from img2mesh.multiview.zero123plus.components import load_controlnet
from img2mesh.multiview.zero123plus.model import Zero123Plus

F32 = NDArray[np.float32]

#: Conditioning scale of the normal ControlNet (its own example).
_NORMAL_SCALE = 1.0


@dataclass(frozen=True)
class Place:
    """Where the networks run, and how."""

    device: torch.device
    dtype: torch.dtype
    execution: Execution


def pick_place(sampling: Sampling) -> Place:
    """Check and complete the user's wishes.

    Raises:
        InputError: a device that is not there.
    """
    device = pick_device(sampling.device)
    gpu = device.type not in ("cpu", "mps")
    dtype = pick_dtype(device)
    channels_last = gpu and not sampling.low_vram
    return Place(device, dtype, Execution(False, sampling.low_vram, channels_last))


def picture(cutout: Cutout) -> Image.Image:
    """The cutout as an 8-bit RGBA picture."""
    rgba = np.dstack([cutout.rgb, cutout.alpha])
    return Image.fromarray(np.rint(rgba * 255).astype(np.uint8))


def generate(
    cutout: Cutout,
    *,
    checkpoint: str,
    normals: bool,
    sampling: Sampling,
    progress: Progress | None = None,
) -> ViewSet:
    """Draw six views of the object around it.

    Args:
        cutout: the object; its transparent part is put on the backdrop that the network expects.
        checkpoint: a name of ``models list`` that was fetched, or a folder.
        normals: draw normal maps too, in a second run, and take the alpha from them; needs a
            checkpoint with a normal ControlNet (v1.2).
        sampling: steps, guidance, seed, and where.
        progress: told the fraction done.

    Raises:
        InputError: no such checkpoint (says how to fetch it), or it cannot do what was asked.
    """
    place = pick_place(sampling)
    net = choices.find_controlnet("normals", checkpoint) if normals else None
    found = checkpoints.locate(checkpoint)
    first, second = shares(progress, normals)
    tile, drawn = found.record.tile, None
    with model_of(found, net, place, sampling.adapter) as model:
        sheet = _sample(model, cutout, tile, sampling, None, 0.0, first)
        if normals:
            again = Image.fromarray(np.rint(sheet * 255).astype(np.uint8))
            drawn = _sample(model, cutout, tile, sampling, again, _NORMAL_SCALE, second)
        notes = _notes(model, found.record, sampling, place)
    return _view_set(cutout, sheet, drawn, found.record, checkpoint, notes, sampling.lora)


def refine(
    cutout: Cutout,
    views: ViewSet,
    depths: DepthSet,
    *,
    checkpoint: str,
    controlnet: str | None = None,
    strength: float,
    sampling: Sampling,
    progress: Progress | None = None,
) -> ViewSet:
    """Draw the views again, led by the depth of a coarse shape.

    Args:
        cutout: the object, as for :func:`generate`.
        views: the first pass; its size, photo and notes are kept.
        depths: six depth maps at the poses of the views.
        checkpoint: as for :func:`generate`; must have a depth ControlNet.
        controlnet: name or folder of the ControlNet; by default the checkpoint's own.
        strength: how much the ControlNet counts; 0.75 is the official example, 0 draws the
            first pass again exactly (same sampling).
        sampling, progress: as for :func:`generate`.

    Raises:
        InputError: the checkpoint has no depth control (says which has), or a part is missing.
    """
    place = pick_place(sampling)
    if strength < 0:
        raise InputError(f"the strength of depth control must not be negative, got {strength}")
    net = choices.find_controlnet("depth", checkpoint, controlnet)
    found = checkpoints.locate(checkpoint)
    control = depth_image.depth_picture(depths, found.record.tile)
    with model_of(found, net, place, sampling.adapter) as model:
        sheet = _sample(model, cutout, found.record.tile, sampling, control, strength, progress)
        notes = _notes(model, found.record, sampling, place)
    note = f"second pass led by the coarse shape's depth, strength {strength:g}"
    refined = _view_set(
        cutout, sheet, None, found.record, checkpoint, (note, *notes), sampling.lora
    )
    return replace(refined, photo=views.photo or refined.photo)


@contextmanager
def model_of(
    found: checkpoints.Located, net: Path | None, place: Place, lora: Path | None = None
) -> Iterator[Zero123Plus]:
    """The model of a checkpoint, kept from run to run, and one ControlNet with it.

    Args:
        found: the checkpoint on this machine.
        net: folder of a ControlNet; None takes whichever is attached, and does without.
        place: where it runs.
        lora: an adapter to add.
    """

    def read() -> Zero123Plus:
        return Zero123Plus.from_located(
            found, device=place.device, dtype=place.dtype, lora=lora, execution=place.execution
        )

    added = None if lora is None else adapters.identity(lora)
    files = (found.folder, found.unet_file, found.identity(), added)
    with loaded((Zero123Plus, *files, found.record.background, place), read) as model:
        if net is not None and model.attached != (named := (net, fingerprint(net))):
            model.attach(None)  # its room is free before the other is read
            model.attach(load_controlnet(net, dtype=place.dtype), named)
        yield model


def _notes(
    model: Zero123Plus, record: checkpoints.Checkpoint, sampling: Sampling, place: Place
) -> tuple[str, ...]:
    """What a report says of how the views were drawn."""
    speed = SPEEDS[sampling.speed]
    precision = str(place.dtype).removeprefix("torch.")
    notes = [f"drawn at speed {sampling.speed}: {steps_of(sampling)} steps, {speed}, {precision}"]
    padding = int(model.parts.prompt_ids[0, -1])
    if record.repository and padding != 0:
        notes.append(
            f"the checkpoint's tokenizer pads with token {padding}, the published ones with 0: "
            "fetch its tokenizer folder again"
        )
    return tuple(notes)


def steps_of(sampling: Sampling) -> int:
    """The number of denoising steps."""
    return SPEEDS[sampling.speed].steps if sampling.steps is None else sampling.steps


def _sample(
    model: Zero123Plus,
    cutout: Cutout,
    tile: int,
    sampling: Sampling,
    control: Image.Image | None,
    scale: float,
    progress: Progress | None,
) -> F32:
    """(3 t, 2 t, 3) float32 sheet."""
    return model.sample(
        picture(cutout),
        control,
        scale,
        steps=steps_of(sampling),
        guidance_scale=sampling.guidance_scale,
        seed=sampling.seed,
        speed=SPEEDS[sampling.speed],
        width=COLUMNS * tile,
        height=ROWS * tile,
        progress=progress,
    ).images[0]


def _view_set(
    cutout: Cutout,
    sheet: F32,
    normal_sheet: F32 | None,
    record: checkpoints.Checkpoint,
    checkpoint: str,
    notes: tuple[str, ...],
    lora: str | None,
) -> ViewSet:
    licences, told = choices.origins(record, lora)
    tiles = untile(sheet)
    cameras: tuple[Camera, ...] = rig(record.rig).cameras(record.tile)
    world = None
    if normal_sheet is None:
        cut = matting.remove_background(tiles, background=record.background)
    else:
        vectors = normals.decode(untile(normal_sheet))
        cut = matting.cut_out(
            tiles, *normals.seeds(vectors), background=matting.NOMINAL[record.background]
        )
        world = normals.to_world(vectors, cut.alpha, cameras)
    private = Path(checkpoint).is_dir()
    return ViewSet(
        rgb=cut.rgb,
        alpha=cut.alpha,
        cameras=cameras,
        normals=world,
        photo=View(cutout.rgb, cutout.alpha, None),
        provenance=Provenance(
            generator=checkpoint if not private else Path(checkpoint).name,
            learned_weights=True,
            exact=False,
            licences=licences,
            notes=(*notes, *told, *cut.notes),
        ),
    )
