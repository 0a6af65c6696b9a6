"""Does it learn? One object's six views by heart, then outlines that follow another shape's depth.

    python benchmarks/overfit.py --out DIR [--steps N] [--control-steps N] [--shapes N]

On tiny networks and the CPU, through the very trainers and sampler that are used for real:

1. Bricks, pills, eggs and discs of random proportions and dark colours are drawn as six views each.
2. A tiny VAE learns their sheets; it bounds what any picture can be: outlines of true sheets that
   went through it are measured beside the drawn ones.
3. `train zero123plus --phase 2` on *one* of them. Its sheet, drawn from noise, against the true
   one: PSNR, and that of the VAE alone.
4. `train controlnet` on that base and the other shapes but three. Those three, and three that were
   learned from, lead the base by their depth, beside the photo of the one object: intersection over
   union of the drawn and the true outlines.

Interrupted (Ctrl-C ends the stage that trains) or given more steps, the same command goes on.
`results.json` and `sheet.png` (true, drawn; depth-led rows: depth, true, drawn) are the record.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from img2mesh.batch.renders import render_meshes
from img2mesh.imaging import matting
from img2mesh.imaging.sheet import untile
from img2mesh.multiview.zero123plus import Zero123Plus
from img2mesh.training.diffusion.commands import train_controlnet, train_zero123plus
from img2mesh.training.diffusion.options import Options
from img2mesh.training.diffusion.sheets import SheetData, as_target, depth_sheet, opened, sheet
from img2mesh.training.renders import Recipe
from img2mesh.training.shards import Folder
from tests.models.tiny import TinyShape, make_checkpoint

TILE, HELD_OUT = 32, 3
SHAPE = TinyShape(unet_channels=(32, 64), heads=(2, 4), vae_channels=(16, 32, 32), tile=TILE)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--control-steps", type=int, default=3000)
    parser.add_argument("--shapes", type=int, default=40)
    parser.add_argument("--batch", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    out, began = given.out, time.process_time()
    one, many = render_shapes(out, given.shapes)
    base, known = out / "base", out / "vae.json"
    if not known.exists():
        make_checkpoint(base, SHAPE, controlnets=())
        sheets = [sheet(f, "", TILE) for f in (*one.folders, *many.folders)]
        known.write_text(json.dumps(teach_vae(base, sheets)))
    results: dict[str, Any] = {"psnr_vae": json.loads(known.read_text())}
    print(results, time.process_time() - began, flush=True)

    options = Options(
        given.steps, rate=2e-3, warmup=50, batch=given.batch, averaging=0.98, save_every=100,
        readers=1, full_precision=True, resume=True,
    )  # fmt: skip
    learned = train_zero123plus(out / "renders" / "one", base, out / "learned", options, phase=2)
    drawn = draw(learned, one.folders[0], None)
    truth = sheet(one.folders[0], "", TILE)
    results["psnr"] = psnr(drawn, truth / 255)
    pictures = [np.hstack([truth, as_bytes(drawn)])]
    print(results, time.process_time() - began, flush=True)

    options = replace(options, steps=given.control_steps, rate=1e-3)
    led = train_controlnet(out / "renders" / "many", learned, out / "led", options)
    held = SheetData.open(out / "renders" / "many", split="val").folders
    for name, folders in (("iou_held_out", held), ("iou_learned_from", many.folders[:HELD_OUT])):
        results[name], results[f"{name}_vae"] = [], []
        for folder in folders:
            true = sheet(folder, "", TILE)
            results[f"{name}_vae"].append(outline_iou(through_vae(base, true), folder))
            control = depth_sheet(folder, TILE)
            drawn = draw(led, one.folders[0], control)
            results[name].append(outline_iou(drawn, folder))
            pictures.append(np.hstack([control, true, as_bytes(drawn)]))
    results["cpu_seconds"] = time.process_time() - began
    (out / "results.json").write_text(json.dumps(results, indent=1))
    width = max(p.shape[1] for p in pictures)
    padded = [np.pad(p, ((0, 8), (0, width - p.shape[1]), (0, 0))) for p in pictures]
    Image.fromarray(np.vstack(padded)).save(out / "sheet.png")
    print(json.dumps(results, indent=1))


def render_shapes(out: Path, count: int) -> tuple[SheetData, SheetData]:
    """Data sets of one shape, and of the others."""
    rng = np.random.default_rng(0)
    makers = [
        lambda: trimesh.creation.box((1, 1, 1)),
        lambda: trimesh.creation.icosphere(subdivisions=3),
        lambda: trimesh.creation.cylinder(0.5, 1.0),
        lambda: trimesh.creation.capsule(1.0, 0.4),
    ]
    found = []
    for name, numbers in (("one", range(1)), ("many", range(1, count + 1))):
        meshes = out / "meshes" / name
        meshes.mkdir(parents=True, exist_ok=True)
        rows = ["path,split,licence"]
        for k in numbers:
            mesh = makers[k % len(makers)]()
            mesh.apply_scale(rng.uniform(0.45, 1.0, 3))
            colour = rng.integers(5, 90, (1, 3))  # dark: an outline on grey is to be measured
            mesh.visual.vertex_colors = colour.repeat(len(mesh.vertices), 0)
            mesh.export(meshes / f"{k:03d}.ply")
            rows.append(f"{k:03d}.ply,{'val' if k > count - HELD_OUT else 'train'},CC0-1.0")
        (meshes / "manifest.csv").write_text("\n".join(rows))
        render_meshes([meshes], out / "renders" / name, Recipe("zero123plus", TILE, samples=3))
        found.append(SheetData.open(out / "renders" / name))
    return found[0], found[1]


def teach_vae(base: Path, sheets: list[NDArray[np.uint8]], steps: int = 2000) -> float:
    """Train the checkpoint's VAE on sheets and scale its latents; PSNR of the first one."""
    from diffusers import AutoencoderKL

    kind: Any = AutoencoderKL
    vae = kind.from_pretrained(base / "vae")
    data = torch.stack([as_target(one) for one in sheets])
    optimiser = torch.optim.Adam(vae.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for _ in range(steps):
        batch = data[torch.randint(len(data), (4,), generator=generator)]
        latent = vae.encode(batch).latent_dist
        z = latent.mean + latent.std * torch.randn(latent.mean.shape, generator=generator)
        loss = (vae.decode(z).sample - batch).square().mean() + 1e-5 * latent.mean.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        z = vae.encode(data).latent_dist.mean
        vae.register_to_config(scaling_factor=float(1 / z.std()))
    vae.save_pretrained(base / "vae")
    return psnr(through_vae(base, sheets[0]), sheets[0] / 255)


@torch.no_grad()
def through_vae(base: Path, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A sheet (3 t, 2 t, 3) as the autoencoder alone gives it back."""
    from diffusers import AutoencoderKL

    kind: Any = AutoencoderKL
    vae = kind.from_pretrained(base / "vae")
    said = vae.decode(vae.encode(as_target(picture)[None]).latent_dist.mean).sample
    return np.asarray((said[0].permute(1, 2, 0).numpy() * 1.6 + 1) / 2, np.float32)


def draw(
    model: Path, photo: Folder, control: NDArray[np.uint8] | None, seed: int = 0
) -> NDArray[np.float32]:
    """(3 t, 2 t, 3) a sheet from noise, led by a control picture if there is one."""
    net = None if control is None else model / "controlnet"
    loaded = Zero123Plus.load(model, controlnet=net)
    images = loaded.sample(
        opened(photo / "000.png"), control, 1.0, steps=28, guidance_scale=1.0, seed=seed,
        width=2 * TILE, height=3 * TILE,
    ).images  # fmt: skip
    return np.asarray(images[0], np.float32)


def outline_iou(drawn: NDArray[np.float32], folder: Folder) -> float:
    """Intersection over union of the outlines of six drawn and six true views, all together."""
    found = matting.remove_background(untile(drawn), background="grey").alpha > 0.5
    views = [opened(folder / f"{k:03d}.png").getchannel("A") for k in range(1, 7)]
    true = np.stack([np.asarray(v) for v in views]) > 127
    return float((found & true).sum() / (found | true).sum())


def psnr(picture: NDArray[Any], truth: NDArray[Any]) -> float:
    """In dB, values in [0, 1]."""
    return float(-10 * np.log10(np.square(np.clip(picture, 0, 1) - truth).mean()))


def as_bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """8 bit."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
