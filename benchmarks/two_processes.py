"""Do two processes with half a batch each take the step of one process with the whole batch?

    python benchmarks/two_processes.py

`img2mesh train zero123plus` takes one step on a tiny checkpoint in float32, once alone with two
samples, once by `torch.distributed.run` as two processes (gloo, through accelerate) with a sample
each. AdamW's first moments after one step are a tenth of the gradient: they are read from the two
checkpoints. Says the largest difference and ends with 1 if it is above 1e-5. A quarter of a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.models.tiny import TinyShape, make_checkpoint
from tests.training.diffusion.fakes import write_sheets

LIMIT, BETA = 1e-5, 0.9


def main() -> None:
    """See the module's docstring."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        shape = TinyShape(unet_channels=(8, 16), heads=(1, 2), vae_channels=(4, 4, 4, 8), width=16)
        make_checkpoint(home / "base", shape, controlnets=())
        write_sheets(home / "renders")
        several = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
        one = gradients(home, "one", ["img2mesh"], 2)
        two = gradients(home, "two", [*several, "img2mesh"], 1)
    largest = max(float(g.abs().max()) for g in one)
    apart = max(float((a - b).abs().max()) for a, b in zip(one, two, strict=True))
    print(f"{len(one)} gradients, the largest {largest:.3g}: {apart:.2g} apart (limit {LIMIT:g})")
    sys.exit(apart > LIMIT)


def gradients(home: Path, name: str, module: list[str], batch: int) -> list[torch.Tensor]:
    """The gradient of every tuned tensor in the first step."""
    flags = ["--renders", "renders", "--base", "base", "--out", name, "--phase", "2", "--steps",
             "1", "--batch", str(batch), "--warmup", "0", "--full-precision"]  # fmt: skip
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", *module, "train", "zero123plus", *flags],
        cwd=home, env=environment, check=True,
    )  # fmt: skip
    kept = torch.load(home / name / "run" / "checkpoint.pt", weights_only=True)
    return [s["exp_avg"] / (1 - BETA) for _, s in sorted(kept["optimizer"]["state"].items())]


if __name__ == "__main__":
    main()
