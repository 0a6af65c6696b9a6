"""What training Zero123++ costs, worked out: operations counted, memory and storage added up.

    python benchmarks/training_cost.py [--teraflops 400] [--objects 800000] [--batch 48]

Operations of a sample are counted on networks of the published sizes whose tensors have shapes but
no values (`meta`), so that it needs neither weights nor a GPU. Hours follow from a sustained speed
that one must know or measure: the default is a cautious guess for an H100, not a measurement.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))
from img2mesh.diffusion import reference_attention
from img2mesh.training.diffusion.sheet_model import trains
from tests.models import official

#: Bytes and files of one object's 320-pixel renders (seven views with depth and normals; mean over
#: eleven meshes), and bytes of a mesh of Objaverse, roughly.
RENDER_BYTES, RENDER_FILES, MESH_BYTES = 0.5e6, 22, 10e6


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teraflops", type=float, default=150.0, help="sustained, a GPU")
    parser.add_argument("--objects", type=float, default=800_000)
    parser.add_argument("--batch", type=int, default=48, help="samples a step, over all GPUs")
    parser.add_argument("--steps", type=int, nargs=2, default=(50_000, 50_000), help="a phase")
    options = parser.parse_args()
    with torch.device("meta"):
        unet, vae, vision = official.unet(), official.vae(), official.vision_encoder()
        counts = operations(unet, vae, vision)
    for name, value in counts.items():
        print(f"{name}: {value / 1e12:.2f} TFLOP")
    everything = sum(p.numel() for p in unet.parameters())
    first = sum(p.numel() for n, p in unet.named_parameters() if trains(n, 1))
    frozen = counts["encode"]
    passes = counts["write"] + counts["read"]
    for phase, tuned in ((1, first), (2, everything)):
        # Backward: gradients of activations as much as forward, of weights where they are tuned.
        sample = frozen + passes * (2 + tuned / everything)
        state = everything * 4 + tuned * (4 + 4 + 8)  # weights; gradient, average, two moments
        steps = options.steps[phase - 1]
        hours = sample * options.batch * steps / options.teraflops / 1e12 / 3600
        print(
            f"phase {phase}: {tuned / 1e6:.0f} million parameters, {state / 1e9:.1f} GB of weights "
            f"and optimizer, {sample / 1e12:.1f} TFLOP a sample, {steps} steps of {options.batch}: "
            f"{hours:.0f} GPU hours"
        )
    print(
        f"{options.objects:.0f} objects: "
        f"{options.objects * RENDER_BYTES / 1e12:.2f} TB of renders, "
        f"{options.objects * MESH_BYTES / 1e12:.1f} TB of meshes, "
        f"{options.objects * RENDER_FILES:.3g} files"
    )


def operations(unet: Any, vae: Any, vision: Any) -> dict[str, float]:
    """Floating point operations of one sample's forward passes at 640 x 960."""
    bank = reference_attention.install(unet, keep_context=False)
    time, context = torch.zeros(1), torch.zeros(1, 77, 1024)
    counted: dict[str, float] = {}

    def count(name: str, work: Any) -> None:
        with FlopCounterMode(display=False) as counter:
            work()
        counted[name] = counted.get(name, 0.0) + counter.get_total_flops()

    def through(mode: Any, height: int, width: int) -> None:
        with bank.passing(mode):
            unet(torch.zeros(1, 4, height, width), time, context)

    count("write", lambda: through("write", 64, 64))
    count("read", lambda: through("read", 120, 80))
    with torch.no_grad():
        count("encode", lambda: vae.encode(torch.zeros(1, 3, 960, 640)))
        count("encode", lambda: vae.encode(torch.zeros(1, 3, 512, 512)))
        count("encode", lambda: vision(torch.zeros(1, 3, 224, 224)))
    return counted


if __name__ == "__main__":
    main()
