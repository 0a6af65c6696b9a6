"""How fast is Zero123++ here, and what does each switch cost in accuracy?

Random weights at the published sizes: time and memory do not depend on what the weights are. The
first rung is the plain float32 algorithm in this very process; every other rung draws the same
sheet from the same noise, and its largest and mean difference from the first are printed beside
its time. A rung that fails, for want of memory say, is recorded as failed; without the first there
are no factors. Writes JSON.

    python benchmarks/sampler.py                       # this machine's best device
    python benchmarks/sampler.py --device cuda --control --output sampler.json
    python benchmarks/sampler.py --size tiny           # seconds on any CPU, to try the script
    python benchmarks/sampler.py --pictures            # minutes: pictures of each speed, in dB

``--pictures`` says how far the sheets of each speed are from those of ``exact``, on a network that
has something to draw: a tiny one, trained on random objects first (``trained.py``); one by default,
which it learns by heart in minutes, where several stay noise. ``truth`` is how far each speed's
sheets are from the pictures it was trained on.

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
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from img2mesh.diffusion.speed import SPEEDS, Execution, SpeedName
from img2mesh.multiview.zero123plus.components import (
    Components,
    load_components,
    load_controlnet,
)
from img2mesh.multiview.zero123plus.model import Sample, Zero123Plus

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository, for tests.models

from tests.models import official
from tests.models.tiny import BALLS, make_checkpoint


@dataclass(frozen=True)
class Rung:
    """One way of running: a name, the execution, the speed and the precision of the weights."""

    name: str
    execution: Execution = field(default_factory=Execution)
    speed: SpeedName = "exact"
    dtype: torch.dtype = torch.float32


PLAIN = Rung("plain", Execution(plain=True))


def rungs(device: torch.device) -> list[Rung]:
    """The ladder for a device; plain first."""
    if device.type == "cpu":
        usual, dtype, ladder = Execution(), torch.float32, [PLAIN, Rung("usual")]
    else:
        usual, dtype = Execution(channels_last=True), torch.float16
        ladder = [
            PLAIN,
            Rung("shortcuts"),
            Rung("half precision", dtype=dtype),
            Rung("usual", usual, dtype=dtype),
        ]
    return [
        *ladder,
        Rung("low memory", Execution(low_memory=True), dtype=dtype),
        Rung("fast", usual, "fast", dtype),
        Rung("draft", usual, "draft", dtype),
    ]


def build(size: str, device: torch.device, control: bool) -> tuple[Components, Any]:
    """Random networks of the published sizes, or tiny ones; (components, ControlNet or None).

    Args:
        size: ``official`` or ``tiny``.
        device: official ones are made there, where it is fast.
        control: with a ControlNet.
    """
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
    return official.components(made), net


def picture(size: int) -> Image.Image:
    """A smooth coloured ball on nothing."""
    v, u = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    z = np.sqrt(np.clip(0.7 - u * u - v * v, 0, 1))
    rgba = np.dstack([0.5 + 0.5 * u, 0.5 - 0.5 * v, z, (z > 0) * 1.0])
    return Image.fromarray(np.rint(rgba * 255).astype(np.uint8))


def measure(
    rung: Rung, parts: Components, net: Any, device: torch.device, *, steps: int | None, tile: int
) -> tuple[dict[str, Any], Sample]:
    """Run one rung, warmed up where there is a warm-up to do; times and memory of the last run.

    Args:
        rung: how.
        parts, net: the networks; they are moved and cast in place.
        device: where.
        steps: denoising steps; None takes the speed's own.
        tile: pixels of one view.
    """
    for module in (parts.unet, parts.vae, parts.text_encoder, parts.vision_encoder, net):
        if module is not None:
            module.to("cpu").to(rung.dtype).to(memory_format=torch.contiguous_format)
    parts.vae.disable_slicing()
    model = Zero123Plus(parts, net, device=device, execution=rung.execution)
    width, height = 2 * tile, 3 * tile
    control = picture(width).resize((width, height)) if net is not None else None
    speed = SPEEDS[rung.speed]

    def draw() -> tuple[Sample, float, list[float]]:
        stamps = [_now(device)]
        sample = model.sample(
            picture(512),
            control,
            steps=steps or speed.steps,
            guidance_scale=4.0,
            width=width,
            height=height,
            seed=1,
            speed=speed,
            progress=lambda _: stamps.append(_now(device)),
        )
        return sample, _now(device) - stamps[0], [b - a for a, b in pairwise(stamps[1:])]

    if device.type != "cpu":
        draw()  # loads kernels, tunes convolutions, fills the allocator
        torch.get_device_module(device).reset_peak_memory_stats()
    sample, total, each = draw()
    record = {
        "rung": rung.name,
        "dtype": str(rung.dtype).removeprefix("torch."),
        "speed": rung.speed,
        "execution": asdict(rung.execution),
        "steps": steps or speed.steps,
        "seconds": round(total, 3),
        "seconds_per_step": round(float(np.median(each)), 4) if each else None,
        "peak_memory_mb": _peak_mb(device),
    }
    return record, sample


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()
    return time.perf_counter()


def _peak_mb(device: torch.device) -> int:
    if device.type != "cpu":
        return round(torch.get_device_module(device).max_memory_allocated() / 1e6)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000  # of the process so far


def climb(
    parts: Components,
    net: Any,
    device: torch.device,
    *,
    steps: int | None,
    tile: int,
    chosen: list[Rung],
) -> list[dict[str, Any]]:
    """Measure rungs one after the other, against ``PLAIN`` if it is among them and runs."""
    records: list[dict[str, Any]] = []
    base: tuple[float, Sample] | None = None
    for rung in chosen:
        try:
            record, sample = measure(rung, parts, net, device, steps=steps, tile=tile)
        except Exception as error:  # memory that ran out, and whatever else: the next may run
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            records.append({"rung": rung.name, "failed": reason})
            print(f"{rung.name:16} failed: {reason}", flush=True)
            continue
        if rung == PLAIN:
            base = record["seconds"], sample
        if base is not None:
            change = np.abs(sample.images - base[1].images)
            record |= {
                "speed_up": round(base[0] / max(record["seconds"], 1e-3), 3),
                "image_difference_max": float(change.max()),
                "image_difference_mean": float(change.mean()),
            }
        records.append(record)
        print(
            f"{rung.name:16} {record['dtype']:8} {record['seconds']:9.2f} s "
            f"x{record.get('speed_up', float('nan')):<6.2f} {record['peak_memory_mb']:7d} MB "
            f"images off by {record.get('image_difference_mean', float('nan')):.1e} on average",
            flush=True,
        )
    return records


def pictures(
    model: Zero123Plus, photos: list[Image.Image], truths: list[np.ndarray], tile: int
) -> dict[str, list[float]]:
    """PSNR in dB of every photo's sheet against that of ``exact`` from the same noise, by speed.

    ``other noise`` is ``exact`` with another seed: how far two good sheets may be apart. Where
    there are true sheets (3 tile, 2 tile, 3), each speed's distance from them follows.
    """

    def draw(photo: Image.Image, name: SpeedName, seed: int) -> np.ndarray:
        speed = SPEEDS[name]
        size = {"width": 2 * tile, "height": 3 * tile, "seed": seed}
        return model.sample(photo, steps=speed.steps, speed=speed, **size).images

    def psnr(a: np.ndarray, b: np.ndarray) -> float:
        return float(-10 * np.log10(np.square(a - b).mean() + 1e-12))

    found: dict[str, list[float]] = {}
    for k, photo in enumerate(photos):
        by_speed = {name: draw(photo, name, 1) for name in ("exact", "fast", "draft")}
        exact = by_speed["exact"]
        row = {name: psnr(by_speed[name], exact) for name in ("fast", "draft")}
        row["other noise"] = psnr(draw(photo, "exact", 2), exact)
        if truths:
            row |= {f"{name}, truth": psnr(s[0], truths[k]) for name, s in by_speed.items()}
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


def compare_pictures(objects: int, training: tuple[int, int]) -> None:
    """Train, draw, print the table of docs/zero123plus.md."""
    import trained

    with tempfile.TemporaryDirectory() as folder:
        known, files = trained.make(Path(folder), objects=objects, steps=training)
        photos, truths = [trained.photo(f) for f in files], [trained.truth(f) for f in files]
        found = {"trained": pictures(Zero123Plus.load(known), photos, truths, trained.TILE)}
        balls = make_checkpoint(Path(folder) / "balls", BALLS, balls=True)
        found["balls"] = pictures(Zero123Plus.load(balls), [picture(128)], [], BALLS.tile)
    columns = list(found["trained"])
    print("| network | " + " | ".join(columns) + " |")
    print("| --- " * (1 + len(columns)) + "|")
    for name, by_speed in found.items():
        values = [by_speed.get(column, []) for column in columns]
        cells = [f"{np.mean(v):.1f} ({min(v):.1f} to {max(v):.1f})" if v else "" for v in values]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    """Climb the ladder, print it, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=best)
    parser.add_argument("--size", choices=("official", "tiny"), default="official")
    parser.add_argument("--steps", type=int, help="the speed's own; 1 on a CPU (4 when tiny)")
    parser.add_argument("--tile", type=int, help="pixels of one view: 320, or 32 when tiny")
    parser.add_argument("--control", action="store_true", help="with a ControlNet")
    parser.add_argument("--only", help="only rungs whose name holds this")
    parser.add_argument("--output", type=Path, default=Path("outputs/sampler.json"))
    parser.add_argument(
        "--pictures", action="store_true", help="only pictures, on a CPU; see above"
    )
    parser.add_argument("--objects", type=int, default=1, help="that the network learns")
    parser.add_argument(
        "--training", type=int, nargs=2, default=(500, 400), help="steps: autoencoder, U-Net"
    )
    args = parser.parse_args()
    if args.pictures:
        compare_pictures(args.objects, tuple(args.training))
        return
    device, tiny = torch.device(args.device), args.size == "tiny"
    steps = args.steps or (4 if tiny else 1 if device.type == "cpu" else None)
    parts, net = build(args.size, device, args.control)
    chosen = [r for r in rungs(device) if (args.only or "") in r.name]
    if device.type == "cpu" and not tiny:  # a step takes a minute: what the shortcuts save
        chosen = chosen[:2]
    tile = args.tile or (32 if tiny else 320)
    report = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "size": args.size,
        "tile": tile,
        "controlnet": args.control,
        "guidance_scale": 4.0,
        "warm_up_excluded": device.type != "cpu",
        "convolutions_in_tf32": device.type == "cuda" and torch.backends.cudnn.allow_tf32,
        "rungs": climb(parts, net, device, steps=steps, tile=tile, chosen=chosen),
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {args.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
