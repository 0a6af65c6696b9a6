"""Renders of the layout ``zero123plus`` -> samples for Zero123++ and its ControlNets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from img2mesh.errors import InputError
from img2mesh.imaging.sheet import tile as tiled
from img2mesh.multiview.zero123plus.model import IMAGE_SCALE
from img2mesh.multiview.zero123plus.preprocess import (
    GREY,
    ImageProcessor,
    control_tensor,
    opaque,
)
from img2mesh.training.diffusion.chances import Chance
from img2mesh.training.renders import CAMERAS
from img2mesh.training.shards import Folder, PackedFile, Shards

#: What a ControlNet is shown and what it leads to: depth leads to views, views to normals.
Control = Literal["depth", "normals"]
#: The condition is resized to a random side first (InstantMesh's fine-tuning code): inputs of
#: users are of any sharpness.
CONDITION_SIDES = (128, 512)
#: Names of the streams of chances.
ITEM, LEVEL, DROP, SIDE = range(4)
TARGET, CONDITION, MIXED, REFERENCE = range(4)


@dataclass(frozen=True)
class SheetData:
    """The objects of a data set of ``img2mesh render --layout zero123plus``.

    Attributes:
        folders: one an object; in shards they are read as they are asked for.
        rig: cameras of the six views.
        tile: side of a view in pixels.
        licences: of the meshes behind them.
    """

    folders: Sequence[Folder]
    rig: str
    tile: int
    licences: tuple[str, ...]

    @classmethod
    def open(cls, root: Path, *, split: str = "train") -> SheetData:
        """Read the list of a data set.

        Raises:
            InputError: no such data set, of another layout, or nothing of the split is drawn.
        """
        try:
            recipe = json.loads((root / "render.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(
                f"{root} is no data set: make one with img2mesh render --layout zero123plus"
            ) from None
        if recipe.get("layout") != "zero123plus":
            raise InputError(f"{root} has the layout {recipe.get('layout')!r}, not zero123plus")
        folders, licences = drawn(root, split)
        if not folders or not (folders[0] / CAMERAS).is_file():
            raise InputError(f"{root} holds no renders of the split {split!r}")
        return cls(folders, recipe["rig"], int(recipe["size"]), licences)

    def sample(
        self,
        chance: Chance,
        *,
        for_vae: ImageProcessor,
        for_clip: ImageProcessor,
        factor: int,
        channels: int,
        levels: int,
        drop: float,
        control: Control | None = None,
    ) -> dict[str, Tensor]:
        """One training sample, wholly decided by its chance.

        Args:
            chance: decides the object and everything random.
            for_vae, for_clip: the checkpoint's image processors.
            factor: pixels per latent pixel.
            channels: of the latents.
            levels: training timesteps.
            drop: probability that the condition is left out.
            control: also a control picture.

        Returns:
            ``target`` (3, 3 t, 2 t) scaled as the VAE is to see it; ``for_vae``, ``for_clip``;
            ``timestep`` (); ``dropped`` () bool; noises ``target_eps``, ``noise`` of the target's
            latents, ``condition_eps``, ``reference_noise`` of the condition's; ``control``
            (3, 3 t, 2 t) in [-1, 1].
        """
        folder = self.folders[int(chance.rng(ITEM).integers(len(self.folders)))]
        condition = opaque(opened(folder / "000.png"), GREY)
        side = int(chance.rng(SIDE).integers(CONDITION_SIDES[0], CONDITION_SIDES[1] + 1))
        condition = condition.resize((side, side), Image.Resampling.BICUBIC)
        pixels = for_vae(condition)[0]
        views = sheet(folder, "", self.tile)
        wanted = sheet(folder, "_normal", self.tile) if control == "normals" else views
        latent = (channels, 3 * self.tile // factor, 2 * self.tile // factor)
        own = (channels, pixels.shape[1] // factor, pixels.shape[2] // factor)
        out = {
            "target": as_target(wanted),
            "for_vae": pixels,
            "for_clip": for_clip(condition)[0],
            "timestep": torch.tensor(int(chance.rng(LEVEL).integers(levels))),
            "dropped": torch.tensor(dropped(chance, drop)),
            "target_eps": chance.normal(latent, TARGET),
            "noise": chance.normal(latent, MIXED),
            "condition_eps": chance.normal(own, CONDITION),
            "reference_noise": chance.normal(own, REFERENCE),
        }
        if control is not None:
            led_by = views if control == "normals" else depth_sheet(folder, self.tile)
            picture = Image.fromarray(led_by)
            out["control"] = control_tensor(picture, picture.width, picture.height)[0]
        return out


def dropped(chance: Chance, share: float) -> bool:
    """Whether a sample's condition is left out."""
    return bool(chance.rng(DROP).random() < share)


def drawn(root: Path, split: str) -> tuple[Sequence[Folder], tuple[str, ...]]:
    """A data set's objects of a split, and their licences: by its shards, else its manifest.

    Raises:
        InputError: it has neither.
    """
    import csv

    shards = Shards(root, split)
    if shards:
        return shards, shards.licences
    file = root / "manifest.csv"
    if not file.is_file():
        raise InputError(f"{file} is missing: let img2mesh render finish")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [r for r in csv.DictReader(lines) if r["status"] == "done" and r["split"] == split]
    return tuple(root / r["name"] for r in rows), tuple(sorted({r["licence"] for r in rows}))


def opened(file: Path | PackedFile) -> Image.Image:
    """A picture of a data set."""
    with file.open("rb") as stream:
        picture = Image.open(stream)
        picture.load()
    return picture


def sheet(folder: Folder, kind: str, tile: int) -> NDArray[np.uint8]:
    """(3 t, 2 t, 3) uint8: six pictures of a kind over grey, row by row."""
    pictures = [opaque(opened(folder / f"{k:03d}{kind}.png"), GREY) for k in range(1, 7)]
    return tiled(np.stack([np.asarray(_sized(p, tile)) for p in pictures]))


def depth_sheet(folder: Folder, tile: int) -> NDArray[np.uint8]:
    """(3 t, 2 t, 3) uint8: near is dark, far is bright, nothing is grey (zero123plus issue 40)."""
    out = []
    for k in range(1, 7):
        value = np.asarray(opened(folder / f"{k:03d}_depth.png"), np.float32) / 65535
        alpha = opened(folder / f"{k:03d}.png").getchannel("A")
        grey = Image.fromarray(np.rint(value * 255).astype(np.uint8))
        merged = Image.merge("RGBA", (grey, grey, grey, alpha))
        out.append(np.asarray(_sized(opaque(merged, GREY), tile)))
    return tiled(np.stack(out))


def _sized(picture: Image.Image, tile: int) -> Image.Image:
    if picture.size == (tile, tile):
        return picture
    return picture.resize((tile, tile), Image.Resampling.LANCZOS)


def as_target(picture: NDArray[np.uint8]) -> Tensor:
    """(3, h, w) float32 in [-0.625, 0.625]: the range the published networks were trained on."""
    value = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float()
    return (value / 127.5 - 1) * IMAGE_SCALE


def stack(samples: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    """Samples -> a batch: every tensor gets a first axis."""
    return {name: torch.stack([s[name] for s in samples]) for name in samples[0]}
