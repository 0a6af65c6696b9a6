"""From a ball to an object by score distillation with exact scores: steps, seconds, IoU and PSNR.

The diffusion model is the exact posterior around renders of a known object
(``tests/models/analytic.py``), so what is measured is the scores, the field and the loop, not a
network. The cameras of the measure were never drawn. From a checkout:
``python benchmarks/distillation.py -o distillation.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch

from img2mesh.core.cameras import Camera
from img2mesh.diffusion.distillation import ScoreGuidance, Window
from img2mesh.field.distillation.loop import distil
from img2mesh.field.distillation.recipe import Recipe
from img2mesh.field.distillation.voxels import Voxels
from tests.models.analytic import AnalyticDenoiser, KnownObject

#: Cameras that the measure looks from: azimuth, elevation.
_AROUND = ((15, 20), (75, -15), (135, 50), (195, 0), (255, 35), (315, -30))


def camera(azimuth: float, elevation: float, size: int = 128) -> Camera:
    return Camera.orbit(azimuth, elevation, distance=2.5, fov_deg=49.13, width=size, height=size)


def measured(field: Voxels, known: KnownObject) -> dict[str, float]:
    """Worst and mean silhouette IoU and PSNR."""
    iou, psnr = [], []
    for pose in _AROUND:
        with torch.no_grad():
            seen = field.render(camera(*pose), torch.ones(3))
        rgb, alpha = known.see(camera(*pose))
        ours, theirs = seen.opacity > 0.5, alpha > 0.5
        iou.append(float((ours & theirs).sum() / (ours | theirs).sum()))
        psnr.append(float(-10 * torch.log10((seen.picture - rgb).square().mean())))
    return {"iou_worst": min(iou), "iou_mean": float(np.mean(iou)),
            "psnr_worst": min(psnr), "psnr_mean": float(np.mean(psnr))}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--grid", type=int, default=48)
    parser.add_argument("--side", type=int, default=64, help="of the renders, pixels")
    parser.add_argument("-o", type=Path, help="JSON file")
    given = parser.parse_args()
    recipe = Recipe(
        steps=given.steps, rate=0.3, optimiser="adam", grid=given.grid, resolutions=(given.side,),
        milestones=(), batch=1, distance=2.5, fov_deg=49.13, elevations=(-40, 70), jitter=0.1,
        radius=0.5, weight_guidance=1, weight_input=0, weight_mask=0, weight_depth_smooth=0,
        weight_near=0, weight_empty=0, weight_sparse=0, weight_opaque=0, weight_rough=1e-2,
        preview_every=0, seed=0,
    )  # fmt: skip
    known = KnownObject()
    ball = Voxels.ball(given.grid, 3, radius=recipe.radius, spacing=1.0, latent=False)
    rows = {"ball": {"seconds": 0.0, **measured(ball, known)}}
    for kind in ("sds", "sjc", "vsd"):
        guide = ScoreGuidance(AnalyticDenoiser(known), kind, scale=1, window=Window())
        began = time.perf_counter()
        field = distil(guide, known.reference(camera(0, 10)), recipe)
        rows[kind] = {"seconds": time.perf_counter() - began, **measured(field, known)}
    print(f"{given.steps} steps, grid {given.grid}, renders {given.side} px")
    print(f"{'':6}{'seconds':>9}{'IoU worst':>11}{'mean':>7}{'PSNR worst':>12}{'mean':>7}")
    for name, row in rows.items():
        print(f"{name:6}{row['seconds']:9.1f}{row['iou_worst']:11.3f}{row['iou_mean']:7.3f}"
              f"{row['psnr_worst']:12.1f}{row['psnr_mean']:7.1f}")  # fmt: skip
    if given.o:
        about = {"steps": given.steps, "grid": given.grid, "side": given.side}
        given.o.write_text(json.dumps({"settings": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
