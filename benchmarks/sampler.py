"""How fast is Zero123++ here, and what does each switch cost in accuracy?

Random weights at the published sizes: time and memory do not depend on what the weights are. The
first rung is the plain float32 algorithm in this very process; every other rung draws the same
sheet from the same noise, and its largest and mean difference from the first are printed beside
its time. Writes JSON.

    python benchmarks/sampler.py                       # this machine's best device
    python benchmarks/sampler.py --device cuda --control --output sampler.json
    python benchmarks/sampler.py --size tiny           # seconds on any CPU, to try the script

On a CPU one step is run in float32 (half precision is emulated there). Attention is torch's own in
every rung, plain included: formed attention matrices of the published size would need 10 GB.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.diffusion.speed import Speed
from img2mesh.multiview.zero123plus.components import (
    Components,
    load_components,
    load_controlnet,
)
from img2mesh.multiview.zero123plus.model import Sample, Zero123Plus
from img2mesh.multiview.zero123plus.preprocess import ImageProcessor

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository, for tests.models

from tests.models import official
from tests.models.tiny import make_checkpoint


@dataclass(frozen=True)
class Rung:
    """One way of running: a name, the switches and the precision of the weights."""

    name: str
    speed: Speed
    dtype: torch.dtype = torch.float32


def rungs(device: torch.device) -> list[Rung]:
    """The ladder for a device."""
    ladder = [Rung("plain", Speed(plain=True)), Rung("shortcuts", Speed())]
    dtype, usual = torch.float32, Speed()
    if device.type != "cpu":
        dtype, usual = torch.float16, Speed(channels_last=True)
        ladder += [
            Rung("shortcuts, float16", Speed(), dtype),
            Rung("shortcuts, float16, channels last", usual, dtype),
        ]
    ladder += [
        Rung("low memory", Speed(low_memory=True), dtype),
        Rung("step cache 2 (approximate)", replace(usual, step_cache=2), dtype),
        Rung("step cache 3 (approximate)", replace(usual, step_cache=3), dtype),
    ]
    if device.type == "cuda":
        ladder += [
            Rung("compiled", replace(usual, compile="default"), dtype),
            Rung("compiled, CUDA graphs", replace(usual, compile="reduce-overhead"), dtype),
        ]
    return ladder


def build(size: str, device: torch.device, control: bool) -> tuple[Components, Any]:
    """Random networks of the published sizes, or tiny ones; (components, ControlNet or None)."""
    if size == "tiny":
        with tempfile.TemporaryDirectory() as folder:
            make_checkpoint(Path(folder))
            net = load_controlnet(Path(folder) / "controlnet") if control else None
            return load_components(Path(folder)), net
    torch.manual_seed(0)
    made: dict[str, Any] = {}
    for part, make in official.MAKERS.items():
        if part != "controlnet" or control:
            with torch.device(device):
                made[part] = make().eval().requires_grad_(False)
    net = made.pop("controlnet", None)
    if net is not None:  # as made, a ControlNet's zero convolutions do nothing
        for name, weight in net.named_parameters():
            if "controlnet" in name and not weight.any():
                torch.nn.init.normal_(weight, std=0.02)
    parts = Components(
        **made,
        prompt_ids=torch.tensor([[49406, 49407] + [0] * 75]),
        for_clip=ImageProcessor(224, (224, 224), 3, 1 / 255, (0.5,) * 3, (0.27,) * 3),
        for_vae=ImageProcessor(512, (512, 512), 2, 1 / 255, (0.5,) * 3, (0.8,) * 3),
        ramping=torch.arange(77) / 77,
        training=TrainingSchedule(),
    )
    return parts, net


def picture(size: int) -> Image.Image:
    """A smooth coloured ball on nothing."""
    v, u = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    z = np.sqrt(np.clip(0.7 - u * u - v * v, 0, 1))
    rgba = np.dstack([0.5 + 0.5 * u, 0.5 - 0.5 * v, z, (z > 0) * 1.0])
    return Image.fromarray(np.rint(rgba * 255).astype(np.uint8))


def measure(
    rung: Rung, parts: Components, net: Any, args: argparse.Namespace, device: torch.device
) -> tuple[dict[str, Any], Sample]:
    """Run one rung, warmed up where there is a warm-up to do; times and memory of the last run."""
    for module in (parts.unet, parts.vae, parts.text_encoder, parts.vision_encoder, net):
        if module is not None:
            module._compiled_call_impl = None
            if module.dtype != rung.dtype:
                module.to(rung.dtype)
            module.to(memory_format=torch.contiguous_format)
            if rung.speed.low_memory:
                module.to("cpu")
    parts.vae.disable_slicing()
    model = Zero123Plus(parts, net, device=device, speed=rung.speed)
    control = picture(args.width).resize((args.width, args.height)) if net is not None else None

    def draw() -> tuple[Sample, float, list[float]]:
        stamps = [_now(device)]
        sample = model.sample(
            picture(512),
            control,
            steps=args.steps,
            guidance_scale=4.0,
            width=args.width,
            height=args.height,
            seed=1,
            progress=lambda _: stamps.append(_now(device)),
        )
        return sample, _now(device) - stamps[0], [b - a for a, b in pairwise(stamps[1:])]

    if device.type == "cuda":
        draw()  # compiles, tunes convolutions, fills the allocator
        torch.cuda.reset_peak_memory_stats(device)
    sample, total, steps = draw()
    record = {
        "rung": rung.name,
        "dtype": str(rung.dtype).removeprefix("torch."),
        "switches": asdict(rung.speed),
        "seconds": round(total, 3),
        "seconds_per_step": round(float(np.median(steps)), 4) if steps else None,
        "peak_memory_mb": _peak_mb(device),
    }
    return record, sample


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak_mb(device: torch.device) -> int:
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # of the process so far


def main() -> None:
    """Climb the ladder, print it, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=best)
    parser.add_argument("--size", choices=("official", "tiny"), default="official")
    parser.add_argument("--steps", type=int, help="28 on a GPU, 1 on a CPU (4 when tiny)")
    parser.add_argument("--width", type=int)
    parser.add_argument("--height", type=int)
    parser.add_argument("--control", action="store_true", help="with a ControlNet")
    parser.add_argument("--only", help="only rungs whose name holds this")
    parser.add_argument("--output", type=Path, default=Path("outputs/sampler.json"))
    args = parser.parse_args()
    device = torch.device(args.device)
    tiny = args.size == "tiny"
    args.steps = args.steps or (4 if tiny else 28 if device.type == "cuda" else 1)
    args.width, args.height = (
        args.width or (64 if tiny else 640),
        args.height or (96 if tiny else 960),
    )

    parts, net = build(args.size, device, args.control)
    records: list[dict[str, Any]] = []
    first: Sample | None = None
    chosen = [r for r in rungs(device) if (args.only or "") in r.name]
    if device.type == "cpu" and not tiny:  # a step takes a minute: what the shortcuts save
        chosen = chosen[:2]
    for rung in chosen:
        try:
            record, sample = measure(rung, parts, net, args, device)
        except (RuntimeError, torch.cuda.OutOfMemoryError) as error:
            records.append({"rung": rung.name, "failed": str(error).splitlines()[0]})
            print(f"{rung.name:34} failed: {records[-1]['failed']}", flush=True)
            continue
        first = first or sample
        change = np.abs(sample.images - first.images)
        latents = (sample.latents - first.latents).abs().max() / first.latents.abs().max()
        record |= {
            "speed_up": round(records[0]["seconds"] / record["seconds"], 3) if records else 1.0,
            "image_difference_max": float(change.max()),
            "image_difference_mean": float(change.mean()),
            "latent_difference": float(latents),
        }
        records.append(record)
        print(
            f"{record['rung']:34} {record['dtype']:8} {record['seconds']:9.2f} s "
            f"x{record['speed_up']:<6.2f} {record['peak_memory_mb']:7d} MB "
            f"images max {record['image_difference_max']:.1e} "
            f"mean {record['image_difference_mean']:.1e}",
            flush=True,
        )
    report = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "size": args.size,
        "steps": args.steps,
        "width": args.width,
        "height": args.height,
        "controlnet": args.control,
        "guidance_scale": 4.0,
        "warm_up_excluded": device.type == "cuda",
        "convolutions_in_tf32": device.type == "cuda" and torch.backends.cudnn.allow_tf32,
        "rungs": records,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {args.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
