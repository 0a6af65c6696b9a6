"""The shipped network: where its file is, what it was trained on, and how to run it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Cutout
from img2mesh.core.arrays import F32
from img2mesh.errors import InputError
from img2mesh.multiview.learned.frustum import COLUMNS, FILL, PIXELS

#: The network that comes with the package.
WEIGHTS = Path(__file__).parent / "weights" / "shape.safetensors"


@dataclass(frozen=True)
class Frame:
    """The part of a cutout that the network looks at, in the cutout's frame units.

    Attributes:
        x, y: its middle.
        half: half its side.
    """

    x: float
    y: float
    half: float


@dataclass(frozen=True)
class Reading:
    """The network's answer for one cutout.

    Attributes:
        frame: what it looked at; all below is over it.
        occupancy: (SLICES, COLUMNS, COLUMNS) float32 logits.
        covered: (COLUMNS, COLUMNS) columns that hold some of the object.
        normals: (COLUMNS, COLUMNS, 3) float32 in the camera's axes.
        back: (COLUMNS, COLUMNS, 3) float32 sRGB of the hindmost surface.
        elevation_deg: of the camera.
    """

    frame: Frame
    occupancy: F32
    covered: NDArray[np.bool_]
    normals: F32
    back: F32
    elevation_deg: float


def facts(file: Path | None = None) -> dict[str, Any]:
    """What a weights file says about itself: ``name``, ``meshes``, ``licences``, ``widths``.

    Raises:
        InputError: the file is missing or is not one of ours.
    """
    from safetensors import SafetensorError, safe_open

    file = _there(file)
    try:
        with safe_open(file, "np") as opened:
            said: dict[str, Any] = json.loads((opened.metadata() or {})["img2mesh"])
    except (SafetensorError, KeyError, ValueError) as cause:
        raise InputError(f"{file} is not a weights file of img2mesh train shape") from cause
    return said


def fingerprint(file: Path | None = None) -> str:
    """Hash of a weights file."""
    return hashlib.sha256(_there(file).read_bytes()).hexdigest()


def _there(file: Path | None) -> Path:
    found = file or WEIGHTS
    if not found.is_file():
        raise InputError(
            f"{found} is missing: give the file that img2mesh train shape wrote"
            if file is not None
            else f"{found.name} is missing from the package: install it again"
        )
    return found


@lru_cache(maxsize=1)
def _load(file: Path, fingerprint: str) -> Any:
    """The network in single precision, ready to answer; the hash notices a file that changed."""
    import torch
    from safetensors.torch import load_file

    from img2mesh.multiview.learned.network import ShapeNet

    network = ShapeNet(**facts(file)["widths"])
    weights = load_file(file)
    floats = {k: v.float() if v.dtype == torch.float16 else v for k, v in weights.items()}
    network.load_state_dict(floats)
    return network.eval().requires_grad_(False)


def frame_of(cutout: Cutout) -> Frame:
    """The square in which the object's longest side takes the share FILL."""
    solid = cutout.alpha > 0.5
    rows, columns = np.nonzero(solid.any(1))[0], np.nonzero(solid.any(0))[0]
    unit = 2 / cutout.size
    x = (columns[0] + columns[-1] + 1) / 2 * unit - 1
    y = 1 - (rows[0] + rows[-1] + 1) / 2 * unit
    longest = (max(np.ptp(rows), np.ptp(columns)) + 1) * unit
    return Frame(float(x), float(y), float(longest / 2 / FILL))


def look(cutout: Cutout, frame: Frame) -> tuple[F32, F32]:
    """The cutout within a frame: (PIXELS, PIXELS, 3) colours and (PIXELS, PIXELS) alpha."""
    import cv2

    fine = 4 * PIXELS
    step = frame.half * cutout.size / fine  # cutout pixels to a fine pixel
    start = (
        (frame.x - frame.half + 1) * cutout.size / 2 + step / 2 - 0.5,
        (1 - frame.y - frame.half) * cutout.size / 2 + step / 2 - 0.5,
    )
    move = np.array([[step, 0, start[0]], [0, step, start[1]]])
    layers = np.dstack([cutout.rgb * cutout.alpha[..., None], cutout.alpha])
    found = cv2.warpAffine(
        layers, move, (fine, fine), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    small = cv2.resize(found, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)
    alpha = np.clip(small[..., 3], 0, 1)
    rgb = np.clip(small[..., :3] / np.maximum(alpha, 1e-3)[..., None], 0, 1)
    return rgb.astype(np.float32), alpha.astype(np.float32)


def read(cutout: Cutout, *, file: Path | None = None) -> Reading:
    """Ask the network about a cutout and about its mirror image, and average the answers.

    It is asked twice: for the elevation, then for the body seen from the elevation both agree on.
    """
    import torch

    from img2mesh.multiview.learned.network import elevation_bins, expected_deg, stack_input

    frame = frame_of(cutout)
    rgb, alpha = look(cutout, frame)
    pair = torch.from_numpy(np.stack([rgb, rgb[:, ::-1]])).permute(0, 3, 1, 2)
    mattes = torch.from_numpy(np.stack([alpha, alpha[:, ::-1]]))
    with torch.inference_mode():
        network, picture = _load(_there(file), fingerprint(file)), stack_input(pair, mattes)
        elevation = expected_deg(network(picture).elevation).mean()
        guess = network(picture, elevation_bins(elevation.expand(2)))
        normals = torch.stack([guess.normals[0], guess.normals[1].flip(-1)])
        normals[1, 0] *= -1

        def joined(values: Any) -> F32:
            return np.asarray(((values[0] + values[1].flip(-1)) / 2).numpy(), np.float32)

        return Reading(
            frame,
            joined(guess.occupancy),
            covered_columns(alpha),
            np.moveaxis(normals.mean(0).numpy(), 0, -1),
            np.clip(np.moveaxis(joined(guess.back), 0, -1), 0, 1),
            float(elevation),
        )


def covered_columns(alpha: F32) -> NDArray[np.bool_]:
    """Which columns of (PIXELS, PIXELS) alpha hold the object; at least one."""
    n = PIXELS // COLUMNS
    share = alpha.reshape(COLUMNS, n, COLUMNS, n).mean((1, 3))
    covered: NDArray[np.bool_] = share >= min(0.4, float(share.max()))
    return covered
