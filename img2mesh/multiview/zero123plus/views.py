"""The pipeline's side of Zero123++: cutouts in, posed view sets with alpha out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from img2mesh.artifacts import Cutout, DepthSet, Provenance, View, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.diffusion import checkpoints
from img2mesh.diffusion.speed import Speed
from img2mesh.errors import InputError
from img2mesh.imaging import matting
from img2mesh.imaging.sheet import COLUMNS, ROWS, untile
from img2mesh.multiview.sampling import Progress, Sampling
from img2mesh.multiview.zero123plus import choices, depth_image, normals
from img2mesh.multiview.zero123plus.model import Zero123Plus

F32 = NDArray[np.float32]

#: Conditioning scale of the normal ControlNet (its own example).
_NORMAL_SCALE = 1.0


@dataclass(frozen=True)
class Place:
    """Where the networks run."""

    device: torch.device
    speed: Speed

    @property
    def dtype(self) -> torch.dtype:
        """Half precision where it is fast, single elsewhere (CPUs emulate half)."""
        return torch.float16 if self.device.type == "cuda" else torch.float32


def pick_place(sampling: Sampling) -> Place:
    """Check and complete the user's wishes.

    Raises:
        InputError: a device that is not there.
    """
    device = pick_device(sampling.device)
    channels_last = device.type == "cuda" and not sampling.low_vram
    return Place(device, Speed(low_memory=sampling.low_vram, channels_last=channels_last))


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA, else MPS, else the CPU.

    Raises:
        InputError: the named device is unknown or not on this machine.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, here in there.items() if here))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps") from None
    if not there.get(device.type, False):
        raise InputError(f"device {name!r} is not on this machine; use auto or cpu")
    return device


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
        cutout: the object; its transparent part is put on grey as the network expects.
        checkpoint: a name of ``models list`` that was fetched, or a folder.
        normals: draw normal maps too, in a second run, and take the alpha from them; needs a
            checkpoint with a normal ControlNet (v1.2).
        sampling: steps, guidance, seed, and where.
        progress: told the fraction done.

    Raises:
        InputError: no such checkpoint (says how to fetch it), or it cannot do what was asked.
    """
    where, free = pick_place(sampling), sampling.commercial_only
    net = choices.find_controlnet("normals", checkpoint, commercial_only=free) if normals else None
    found = checkpoints.locate(checkpoint, commercial_only=free)
    model = _load(found, net, where)
    first, second = _shares(progress, normals)
    sheet = _sample(model, cutout, found.record.tile, sampling, None, 0.0, first)
    drawn = None
    if normals:
        again = Image.fromarray(np.rint(sheet * 255).astype(np.uint8))
        drawn = _sample(model, cutout, found.record.tile, sampling, again, _NORMAL_SCALE, second)
    return _view_set(cutout, sheet, drawn, found.record, checkpoint, ())


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
    where, free = pick_place(sampling), sampling.commercial_only
    if strength < 0:
        raise InputError(f"the strength of depth control must not be negative, got {strength}")
    net = choices.find_controlnet("depth", checkpoint, controlnet, commercial_only=free)
    found = checkpoints.locate(checkpoint, commercial_only=free)
    control = depth_image.depth_picture(depths, found.record.tile)
    model = _load(found, net, where)
    sheet = _sample(model, cutout, found.record.tile, sampling, control, strength, progress)
    note = f"second pass led by the coarse shape's depth, strength {strength:g}"
    refined = _view_set(cutout, sheet, None, found.record, checkpoint, (note,))
    return replace(refined, photo=views.photo or refined.photo)


def _load(found: checkpoints.Located, net: Path | None, where: Place) -> Zero123Plus:
    return Zero123Plus.from_located(
        found, net, device=where.device, dtype=where.dtype, speed=where.speed
    )


def _shares(progress: Progress | None, twice: bool) -> tuple[Progress | None, Progress | None]:
    """Progress of one run, or of two runs one after the other."""
    if progress is None or not twice:
        return progress, progress
    tell = progress  # a name the closures can keep without the None
    return (lambda f: tell(f / 2)), (lambda f: tell(0.5 + f / 2))


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
        steps=sampling.steps,
        guidance_scale=sampling.guidance_scale,
        seed=sampling.seed,
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
) -> ViewSet:
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
            licences=(record.licence,),
            notes=(*notes, *((record.note,) if record.note else ()), *cut.notes),
        ),
    )
