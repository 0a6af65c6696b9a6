"""A tiny Zero123++ that has learned a few objects: random shapes, drawn and trained on in minutes.

Its autoencoder is taught first, its U-Net then by the very trainer of ``img2mesh train``. It knows
these objects and nothing else; what it is for is to see how samplers differ where they have
something to find.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from img2mesh.multiview.zero123plus.preprocess import GREY, opaque
from img2mesh.training import renders
from img2mesh.training.diffusion.commands import Options, train_zero123plus
from img2mesh.training.diffusion.sheets import as_target, sheet
from img2mesh.training.procedural import procedural_entries
from tests.models.tiny import TinyShape, make_checkpoint

TILE = 32
#: Four times smaller latents, so that a tile has 8 x 8.
SHAPE = TinyShape(
    unet_channels=(32, 64), heads=(2, 4), vae_channels=(16, 32, 32), vae_pixels=64, tile=TILE
)


def make(folder: Path, *, objects: int, steps: tuple[int, int]) -> tuple[Path, list[Path]]:
    """Draw, teach, train: (checkpoint folder, the pictures it was trained to start from).

    Args:
        folder: everything goes here.
        objects: how many random shapes it learns.
        steps: of the autoencoder's training, of the U-Net's.
    """
    photos = _draw(folder / "renders", objects)
    base = make_checkpoint(folder / "base", SHAPE, controlnets=())
    torch.manual_seed(0)
    _teach(base / "vae", [p.parent for p in photos], steps[0])
    options = Options(
        steps=steps[1], batch=4, rate=2e-3, warmup=50, averaging=0.98, save_every=100, readers=1,
        full_precision=True,
    )  # fmt: skip
    return train_zero123plus(folder / "renders", base, folder / "out", options, phase=2), photos


def _draw(root: Path, objects: int) -> list[Path]:
    recipe = renders.Recipe("zero123plus", size=TILE)
    folders = [root / f"{n:02}" for n in range(objects)]
    for entry, folder in zip(procedural_entries(objects), folders, strict=True):
        renders.render(entry, folder, recipe)
    about = {"layout": recipe.layout, "size": recipe.size, "rig": recipe.rig}
    (root / "render.json").write_text(json.dumps(about), encoding="utf-8")
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["name", "licence", "split", "status"])
        writer.writerows([folder.name, "CC0-1.0", "train", "done"] for folder in folders)
    return [folder / "000.png" for folder in folders]


def _teach(folder: Path, objects: list[Path], steps: int) -> None:
    """Have the autoencoder give sheets and photos back, by latents of unit variance."""
    from diffusers import AutoencoderKL

    load: Any = AutoencoderKL.from_pretrained
    vae = load(folder)
    sheets = torch.stack([as_target(sheet(o, "", TILE)) for o in objects])
    rates = torch.optim.Adam(vae.parameters(), 3e-3)
    fading = torch.optim.lr_scheduler.OneCycleLR(rates, 3e-3, steps)
    for _ in range(steps):
        pick = sheets[torch.randint(len(sheets), (4,))]
        posterior = vae.encode(pick).latent_dist
        error = (vae.decode(posterior.sample()).sample - pick).abs().mean()
        loss = error + 1e-5 * posterior.kl().mean()
        rates.zero_grad()
        loss.backward()
        rates.step()
        fading.step()
    with torch.no_grad():
        spread = vae.encode(sheets).latent_dist.mean.std()
    vae.register_to_config(scaling_factor=float(1 / spread))
    vae.save_pretrained(folder)
    print(f"autoencoder: pictures come back within {error.item() / 1.25:.3f} of their range")


def photo(file: Path) -> Image.Image:
    """A picture over grey, as the network was shown it."""
    return opaque(Image.open(file), GREY)


def truth(file: Path) -> NDArray[np.float64]:
    """(3 TILE, 2 TILE, 3) the sheet that the network was trained to draw from a photo."""
    return sheet(file.parent, "", TILE) / 255
