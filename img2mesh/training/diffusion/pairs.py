"""Renders of the layout ``zero123`` -> pairs of views for Zero-1-to-3.

The published renders (Objaverse, ``valid_paths.json``) have the same files: they can be read too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from img2mesh.errors import InputError
from img2mesh.multiview.zero123 import preprocess
from img2mesh.multiview.zero123.camera import camera_vectors, centres, moves_between
from img2mesh.multiview.zero123plus.preprocess import ImageProcessor
from img2mesh.training.diffusion.chances import Chance
from img2mesh.training.diffusion.sheets import drawn, opened
from img2mesh.training.shards import Folder, PackedFile

ITEM, PAIR, LEVEL, DROP = range(4)
TARGET, MIXED = range(2)
#: Share of a list without a manifest that is kept for measuring: its last hundredth.
_HELD_OUT = 0.01


@dataclass(frozen=True)
class PairData:
    """The objects of a data set.

    Attributes:
        folders: one an object, with ``NNN.png`` and ``NNN.npy``.
        licences: of the meshes behind them.
    """

    folders: Sequence[Folder]
    licences: tuple[str, ...]

    @classmethod
    def open(cls, root: Path) -> PairData:
        """Read the list of a data set's objects to learn from.

        Raises:
            InputError: no such data set, or fewer than two views an object.
        """
        folders: Sequence[Folder]
        try:
            folders, licences = drawn(root, "train")
        except InputError:  # the published renders have no manifest
            try:
                names = json.loads((root / "valid_paths.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                raise InputError(
                    f"{root} is no data set of pairs: img2mesh render --layout zero123 makes one"
                ) from None
            names = names[: len(names) - int(len(names) * _HELD_OUT)]
            licences = ()
            folders = tuple(root / n for n in names if (root / n).is_dir())
        if not folders or not (folders[0] / "001.npy").is_file():
            raise InputError(
                f"{root} holds no object with two views and their matrices (000.png, 000.npy, ...)"
            )
        return cls(folders, licences)

    def sample(
        self,
        chance: Chance,
        *,
        size: int,
        factor: int,
        channels: int,
        levels: int,
        drop: float,
        clip_size: int,
        processor: ImageProcessor | None,
    ) -> dict[str, Tensor]:
        """Two different views of an object, and everything random, decided by the chance.

        Args:
            chance: decides it all.
            size: side of a picture, pixels.
            factor: pixels per latent pixel.
            channels: of the latents.
            levels: training timesteps.
            drop: see :func:`dropped`.
            clip_size: side of the vision tower's picture.
            processor: 8-bit image processor of the checkpoint's layout; None: the original's.

        Returns:
            ``given``, ``target`` (3, size, size) in [-1, 1] on white; ``for_clip``;
            ``camera`` (4,); ``timestep`` (); ``no_clip``, ``no_latents`` () bool; noises
            ``target_eps``, ``noise``.
        """
        folder = self.folders[int(chance.rng(ITEM).integers(len(self.folders)))]
        views = sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".npy"))
        one, two = chance.rng(PAIR).choice(len(views), 2, replace=False)
        pictures = [
            preprocess.on_white(opened(folder / f"{views[k]}.png"), size, size) for k in (one, two)
        ]
        given, target = preprocess.pixels(pictures)
        place = [centres(_matrix(folder / f"{views[k]}.npy")) for k in (one, two)]
        up, around, away = moves_between(*place)
        for_clip = (
            preprocess.clip_pixels(given[None], clip_size)
            if processor is None
            else processor(pictures[0])
        )
        no_clip, no_latents = dropped(chance, drop)
        latent = (channels, size // factor, size // factor)
        return {
            "given": given,
            "target": target,
            "for_clip": for_clip[0],
            "camera": camera_vectors([float(up)], [float(around)], [float(away)])[0],
            "timestep": torch.tensor(int(chance.rng(LEVEL).integers(levels))),
            "no_clip": torch.tensor(no_clip),
            "no_latents": torch.tensor(no_latents),
            "target_eps": chance.normal(latent, TARGET),
            "noise": chance.normal(latent, MIXED),
        }


def _matrix(file: Path | PackedFile) -> NDArray[np.float64]:
    with file.open("rb") as stream:
        matrix: NDArray[np.float64] = np.load(stream, allow_pickle=False)
    return matrix


def dropped(chance: Chance, share: float) -> tuple[bool, bool]:
    """Whether CLIP's embedding and whether the latents are left out.

    With u uniform: the embedding where ``u < 2 share``, the latents where ``share <= u < 3 share``;
    so each alone, and both, happen with probability ``share``.
    """
    u = float(chance.rng(DROP).random())
    return u < 2 * share, share <= u < 3 * share
