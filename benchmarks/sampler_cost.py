"""What a sheet costs at the published sizes, counted: operations and bytes, no GPU and no weights.

The networks are built without values and run through the very sampler on a hollow pretend GPU,
which knows shapes alone. Prints the table of docs/zero123plus.md.

    python benchmarks/sampler_cost.py                  # prints the table; a minute
    python benchmarks/sampler_cost.py --steps 2        # quicker, to try the script
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository, for its tests' models

from img2mesh.diffusion.speed import SPEEDS, Execution, SpeedName
from img2mesh.multiview.zero123plus import Zero123Plus
from tests.models import official
from tests.pretend_gpu import DEVICE, PretendGpu

RESIDENT, LOW = Execution(channels_last=True), Execution(low_memory=True)


def count(name: SpeedName, execution: Execution, *, control: bool, steps: int) -> np.ndarray:
    """(TFLOP, gigabytes of tensors at most, thousands of launches) of a sheet."""
    speed = SPEEDS[name]
    if name == "exact" and steps > 2:  # every step costs the same
        one, two = (count(name, execution, control=control, steps=n) for n in (1, 2))
        return np.where([True, False, True], one + (steps - 1) * (two - one), two)
    parts, net = official.hollow(torch.float16)
    with PretendGpu(hollow=True) as gpu:
        model = Zero123Plus(parts, net if control else None, device=DEVICE, execution=execution)
        begun = gpu.operations
        sheet = Image.new("RGB", (640, 960)) if control else None
        model.sample(Image.new("RGB", (320, 320)), sheet, steps=steps, speed=speed)
        return np.array([gpu.flops / 1e12, gpu.most_bytes / 1e9, (gpu.operations - begun) / 1e3])


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="instead of each speed's own")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| speed | | steps | TFLOP a sheet | tensors at most | launches |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows: list[tuple[SpeedName, Execution, bool]] = [
        (name, RESIDENT, control) for name in SPEEDS for control in (False, True)
    ]
    rows += [("exact", LOW, False), ("exact", LOW, True)]
    for name, execution, control in rows:
        steps = args.steps or SPEEDS[name].steps
        tflop, most, launches = count(name, execution, control=control, steps=steps)
        what = ["ControlNet"] * control + ["`--low-vram`"] * execution.low_memory
        print(
            f"| `{name}` | {', '.join(what)} | {steps} | {tflop:.0f} | {most:.2f} GB | "
            f"{launches:.0f} k |",
            flush=True,
        )


if __name__ == "__main__":
    main()
