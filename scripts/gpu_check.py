"""Check and measure img2mesh on a GPU: ten minutes, one JSON. No weights, no network.

    python scripts/gpu_check.py                        # writes gpu_check.json
    python scripts/gpu_check.py --only golden,fit      # some of the checks

Every check stands alone, has a time limit of its own, and is written as soon as it is done, the
most telling first. Networks have random weights of the published sizes: time, memory and agreement
with the CPU do not depend on what the weights are. docs/gpu.md says what to expect; please send the
file of a card that is not there yet.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(
    0, str(Path(__file__).parents[1])
)  # the repository, for its tests' models and scenes

from benchmarks import sampler
from img2mesh.diffusion.speed import Execution
from img2mesh.multiview.zero123plus import Zero123Plus
from tests.models.noise import RecordedNoise

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Where:
    """What all checks are told.

    Attributes:
        device: the GPU.
        tiny: everything small, to try the script itself.
    """

    device: torch.device
    tiny: bool

    @property
    def module(self) -> Any:
        """torch.cuda, or what stands for it."""
        return torch.get_device_module(self.device)


def environment(where: Where) -> dict[str, Any]:
    """Card, driver, versions."""
    found: dict[str, Any] = {
        "card": where.module.get_device_name(where.device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    for name in ("diffusers", "transformers", "nerfacc", "open3d"):
        found[name] = version(name)
    if where.device.type == "cuda":  # needs the card
        found |= card()
    return found


def version(name: str) -> str:
    """Of an installed library."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError as error:
        return str(error)


def card() -> dict[str, Any]:  # needs the card
    asked = ["name", "driver_version", "memory.total", "clocks.max.sm", "power.limit"]
    told = subprocess.run(
        ["nvidia-smi", f"--query-gpu={','.join(asked)}", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "nvidia-smi": told.stdout.strip(),
        "cuda": torch.version.cuda,
        "capability": torch.cuda.get_device_capability(),
    }


def golden(where: Where) -> dict[str, Any]:
    """The recorded runs of the public program: single precision, then half; largest deviations."""
    from safetensors.torch import load_file

    folder = ROOT / "tests/multiview/zero123plus/golden"
    cases = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["cases"]
    found: dict[str, Any] = {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for name in ("depth",) if where.tiny else ("depth", "base"):
        recorded = load_file(folder / f"{name}.safetensors")
        draws = {k.removeprefix("noise."): v for k, v in recorded.items() if k[:6] == "noise."}
        controlled = name == "depth"
        control = Image.open(folder / "depth.png") if controlled else None
        net = folder / "controlnet" if controlled else None
        for label, dtype, execution in (
            ("single", torch.float32, Execution(channels_last=True)),
            ("single, plain", torch.float32, Execution(plain=True)),
            ("half", torch.float16, Execution(channels_last=True)),
        ):
            model = Zero123Plus.load(
                folder / "checkpoint", net, where.device, dtype, execution=execution
            )
            settings = _settings(cases[name])
            sample = model.sample(
                Image.open(folder / "input.png"), control, noise=RecordedNoise(draws), **settings
            )
            expected = recorded["final.latents"]
            off = (sample.latents - expected).abs().max() / expected.abs().max()
            found[f"{name}, {label}"] = float(off)
    torch.backends.cudnn.allow_tf32 = True
    worst = max(v for k, v in found.items() if "single" in k)
    return {**found, "good": worst < 1e-3 and found["depth, half"] < 0.05}


def _settings(case: dict[str, Any]) -> dict[str, Any]:
    names = {"num_inference_steps": "steps", "conditioning_scale": "control_scale"}
    taken = ("guidance_scale", "width", "height", *names)
    return {names.get(k, k): case[k] for k in taken if case[k] is not None}


def ladder(where: Where) -> dict[str, Any]:
    """Seconds and memory of every way to sample, against plain single precision."""
    return _ladder(where, control=False)


def ladder_control(where: Where) -> dict[str, Any]:
    """The same with a ControlNet."""
    return _ladder(where, control=True)


def _ladder(where: Where, *, control: bool) -> dict[str, Any]:
    parts, net = sampler.build("tiny" if where.tiny else "official", where.device, control)
    steps, tile = (2, 32) if where.tiny else (None, 320)
    chosen = sampler.rungs(where.device)
    if where.tiny:
        chosen = [r for r in chosen if r.name == "fast"]
    rungs = sampler.climb(parts, net, where.device, steps=steps, tile=tile, chosen=chosen)
    fast = next(r for r in rungs if r["rung"] == "fast")
    good = fast.get("speed_up", 0) >= 6 and fast.get("peak_memory_mb", 1e9) <= 5000
    return {"rungs": rungs, "good": good or where.tiny}


def fit(where: Where) -> dict[str, Any]:
    """Fields of three scenes fitted on the GPU, cold and warm, against those of the CPU."""
    found: dict[str, Any] = {}
    for name, views, settings in _scenes(where):
        begun = time.perf_counter()
        expected = _fit(views, "cpu", settings)
        on_cpu = time.perf_counter() - begun
        seconds, fields = [], []
        for _ in range(1 if where.tiny else 2):
            begun = time.perf_counter()
            fields.append(_fit(views, str(where.device), settings))
            seconds.append(round(time.perf_counter() - begun, 2))
        near = np.abs(expected.sdf) < 3 * expected.voxel
        same_grid = expected.sdf.shape == fields[0].sdf.shape
        off = np.abs(fields[0].sdf - expected.sdf)[near] / expected.voxel if same_grid else [np.inf]
        again = np.abs(fields[0].sdf - fields[-1].sdf).max() / expected.voxel
        found[name] = {
            "cpu_seconds": round(on_cpu, 2),
            "seconds_cold_warm": seconds,
            "voxels_off_mean": float(np.mean(off)),
            "voxels_off_most": float(np.max(off)),
            "voxels_between_runs": float(again),
        }
    return {**found, "good": all(one["voxels_off_mean"] < 0.1 for one in found.values())}


def _fit(views: Any, device: str, settings: dict[str, Any]) -> Any:
    from img2mesh.graph import Run
    from img2mesh.pipeline import radiance

    return radiance(views, run=Run(device=device), **settings)


def _scenes(where: Where) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    from tests import shapes
    from tests.field.scenes import views_of

    size, grid = (16, 16) if where.tiny else (320, 128)
    known = {"grid": grid, "density_steps": 0}
    yield "ball, depth and normals known", views_of(shapes.ball(), size=size, known=True), known
    if not where.tiny:  # needs the card
        yield "ball, pictures alone", views_of(shapes.ball(), size=size), {"grid": grid}
        yield "box, pictures alone", views_of(shapes.box(), size=size), {"grid": grid}


def repeatable(where: Where) -> dict[str, Any]:
    """A sheet drawn twice: the same bytes?"""
    parts, _ = sampler.build("tiny", where.device, False)
    for module in (parts.unet, parts.vae, parts.text_encoder, parts.vision_encoder):
        module.half()
    model = Zero123Plus(parts, device=where.device)
    size = {"steps": 2 if where.tiny else 28, "width": 64, "height": 96}
    one, two = (model.sample(sampler.picture(64), **size) for _ in range(2))
    off = float((one.latents - two.latents).abs().max())
    return {"latents_off": off, "good": off == 0}


def learned(where: Where) -> dict[str, Any]:
    """The shipped network: agreement with the CPU, and samples a second of training steps."""
    from img2mesh.multiview.learned.model import WEIGHTS, facts
    from img2mesh.multiview.learned.network import ShapeNet

    torch.manual_seed(0)
    network = ShapeNet(**facts(WEIGHTS)["widths"]).eval()
    given = torch.rand(1, *_input_shape())
    with torch.inference_mode():
        expected = network(given).occupancy
        got = network.to(where.device)(given.to(where.device)).occupancy.cpu()
    off = float((got - expected).abs().max() / expected.abs().max())
    rates = {}
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    turns = 3 if where.tiny else 12
    for batch in (1,) if where.tiny else (16, 64, 128):
        rows = torch.rand(batch, *_input_shape(), device=where.device)
        begun = time.perf_counter()
        for turn in range(turns):
            if turn == 2:
                where.module.synchronize()
                begun = time.perf_counter()
            optimiser.zero_grad()
            network(rows).occupancy.square().mean().backward()
            optimiser.step()
        where.module.synchronize()
        rates[batch] = round(batch * (turns - 2) / (time.perf_counter() - begun), 1)
    return {"off": off, "samples_per_second": rates, "good": off < 1e-3}


def _input_shape() -> tuple[int, int, int]:
    from img2mesh.multiview.learned.frustum import PIXELS
    from img2mesh.multiview.learned.network import stack_input

    side = PIXELS
    return tuple(stack_input(torch.zeros(1, 3, side, side), torch.zeros(1, side, side)).shape[1:])


def profile(where: Where) -> dict[str, Any]:  # needs the card
    """Where the time of a fit and of a sampling step goes: kernels, and gaps between them."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watch

    parts, _ = sampler.build("official", where.device, False)
    half = sampler.Rung("usual", Execution(channels_last=True), dtype=torch.float16)
    name, views, settings = next(iter(_scenes(where)))
    found = {}
    for label, work in (
        ("two steps of a sheet",
         lambda: sampler.measure(half, parts, None, where.device, steps=2, tile=320)),
        (f"fit: {name}", lambda: _fit(views, str(where.device), settings)),
    ):  # fmt: skip
        work()
        with watch(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            begun = time.perf_counter()
            work()
            where.module.synchronize()
            seconds = time.perf_counter() - begun
        rows = sorted(seen.key_averages(), key=lambda r: -r.self_device_time_total)
        busy = sum(r.self_device_time_total for r in rows) / 1e6
        found[label] = {
            "seconds": round(seconds, 3),
            "busy_share": round(busy / seconds, 3),
            "kernels": sum(r.count for r in rows if r.self_device_time_total),
            "most": [[r.key[:60], r.count, r.self_device_time_total / 1e6] for r in rows[:15]],
        }
    return found


def nerfacc(where: Where) -> dict[str, Any]:  # needs the card
    """Whether nerfacc's extension builds here, and the fit with it."""
    name, views, settings = next(iter(_scenes(where)))
    one = _fit(views, str(where.device), settings)
    begun = time.perf_counter()
    two = _fit(views, str(where.device), {**settings, "renderer": "nerfacc"})
    off = np.abs(one.sdf - two.sdf).max() / one.voxel
    return {"scene": name, "seconds": time.perf_counter() - begun, "voxels_off_most": float(off)}


#: Check -> seconds it may take; the most telling first.
CHECKS: dict[Callable[[Where], dict[str, Any]], int] = {
    environment: 60,
    golden: 60,
    ladder: 150,
    fit: 150,
    repeatable: 30,
    learned: 60,
    ladder_control: 120,
    profile: 90,
    nerfacc: 240,
}
#: Those that a pretend GPU cannot do.
NEED_THE_CARD = (profile, nerfacc)


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer, where the system can."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(given: list[str] | None = None) -> int:
    """Run the checks; 0 if none failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", help="names of checks, with commas between")
    parser.add_argument("--seconds", type=int, default=600, help="no check begins after so many")
    parser.add_argument("--tiny", action="store_true", help="small everything, to try the script")
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"))
    args = parser.parse_args(given)
    try:
        where = Where(torch.device(args.device), args.tiny)
        torch.empty(1, device=where.device)
    except (RuntimeError, AssertionError) as error:
        print(f"there is no {args.device} here: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {}
    begun = time.perf_counter()
    for check, seconds in CHECKS.items():
        name = check.__name__
        if args.only and name not in args.only.split(","):
            continue
        if check in NEED_THE_CARD and where.device.type != "cuda":
            report[name] = {"skipped": "needs the card"}
            continue
        if time.perf_counter() - begun > args.seconds:
            report[name] = {"skipped": "no time left"}
            continue
        started = time.perf_counter()
        try:
            with limit(seconds if not args.tiny else 10 * seconds):
                report[name] = check(where)
        except Exception as error:  # the next check stands alone
            report[name] = {"failed": f"{type(error).__name__}: {error}"[:500], "good": False}
        report[name]["took"] = round(time.perf_counter() - started, 1)
        where.module.empty_cache()
        args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"{name:16} {report[name]['took']:6.1f} s  {_verdict(report[name])}", flush=True)
    args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {args.output}")
    return int(any(one.get("good") is False for one in report.values()))


def _verdict(result: dict[str, Any]) -> str:
    if "failed" in result:
        return result["failed"]
    return {True: "good", False: "NOT AS EXPECTED", None: "measured"}[result.get("good")]


if __name__ == "__main__":
    sys.exit(main())
