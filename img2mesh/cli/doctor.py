"""``img2mesh doctor``: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from img2mesh.cli.flags import Command, Option, options
from img2mesh.cli.output import print_json, print_table
from img2mesh.core.system import cores, total_memory

#: System libraries whose absence shows only when open3d is imported.
_APT = "sudo apt-get install libgl1 libegl1 libopengl0 libx11-6 libusb-1.0-0 libgomp1"

_NEEDED = (
    "numpy", "PIL", "torch", "nerfacc", "open3d", "cv2", "scipy", "skimage", "trimesh", "xatlas",
    "fast_simplification", "safetensors",
)  # fmt: skip

#: module -> (extra, what it is for)
_OPTIONAL = {
    "diffusers": ("diffusion", "the learned view generators"),
    "transformers": ("diffusion", "the learned view generators and the sam segmenter"),
    "onnxruntime": ("onnx", "the onnx segmenter"),
    "pillow_heif": ("heic", "HEIC pictures"),
    "pxr": ("usd", "--format usdz"),
    "starlette": ("web", "img2mesh serve"),
    "uvicorn": ("web", "img2mesh serve"),
}


@dataclass(frozen=True)
class Finding:
    """One thing examined: is it well, what was found, what to do."""

    name: str
    state: str  # "ok", "absent" (optional), "broken"
    found: str
    advice: str = ""


@options(
    Option("--gpu", bool, "Only the GPU, and how to check it whole.", default=False), "as_json"
)
@click.command(cls=Command)
def doctor(gpu: bool, as_json: bool) -> None:
    """What works on this machine, and what to do about what does not."""
    findings = examine_gpu() if gpu else examine()
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        marks = {"ok": "[green]✓[/]", "absent": "[dim]–[/]", "broken": "[red]✗[/]"}
        print_table(
            ("", "what", "found", "what to do"),
            [(marks[one.state], one.name, one.found, one.advice) for one in findings],
        )
    if any(finding.state == "broken" for finding in findings):
        sys.exit(1)


def examine() -> list[Finding]:
    """Look at Python, memory, device, libraries, cache and clients."""
    findings = [
        Finding("python", "ok", sys.version.split()[0]),
        Finding("cores", "ok", str(cores())),
        _memory(),
    ]
    findings += [_needed(name) for name in _NEEDED]
    findings.append(_device())
    for name, (extra, purpose) in _OPTIONAL.items():
        there = importlib.util.find_spec(name) is not None
        advice = "" if there else f"for {purpose}: pip install 'img2mesh[{extra}]'"
        findings.append(
            Finding(name, "ok" if there else "absent", "there" if there else "not there", advice)
        )
    findings += [_models(), _cache(), _node()]
    return findings


def examine_gpu() -> list[Finding]:
    """Look at the GPU: what it is, its room, and what measures the rest."""
    findings = [_device()]
    if "cuda" not in findings[0].found:
        findings[0] = replace(
            findings[0], advice="for an NVIDIA card: its driver, and a torch built for CUDA"
        )
        return findings
    import torch

    card = torch.cuda.get_device_properties(0)
    room = card.total_memory / 1e9
    advice = "" if room >= 5 else "draw with --low-vram"
    findings.append(
        Finding("GPU memory", "ok" if room >= 3 else "broken", f"{room:.1f} GB", advice)
    )
    half = (card.major, card.minor) >= (7, 0) or (card.major, card.minor) == (6, 0)
    found = "fast: views are drawn in float16" if half else "slow: views are drawn in float32"
    findings.append(Finding("half precision", "ok", found))
    script = Path(__file__).parents[2] / "scripts" / "gpu_check.py"
    way = f"{sys.executable} {script}" if script.is_file() else "scripts/gpu_check.py in a checkout"
    findings.append(
        Finding(
            "whole check", "absent", "not run by this command", f"ten minutes: {way}; docs/gpu.md"
        )
    )
    return findings


def _memory() -> Finding:
    total = total_memory() / 1e9
    enough = total >= 4
    return Finding(
        "memory",
        "ok" if enough else "broken",
        f"{total:.1f} GB",
        "" if enough else "a run needs up to 4 GB; close other programs or use --preset draft",
    )


def _needed(name: str) -> Finding:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        advice = _APT if ".so" in str(error) else "pip install img2mesh"
        return Finding(name, "broken", str(error).splitlines()[0], advice)
    return Finding(name, "ok", str(getattr(module, "__version__", "there")))


def _device() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("device", "broken", "torch is missing", "pip install img2mesh")
    if torch.cuda.is_available():
        return Finding("device", "ok", f"cuda: {torch.cuda.get_device_name(0)}")
    if torch.backends.mps.is_available():
        return Finding("device", "ok", "mps")
    return Finding("device", "ok", "cpu (no GPU found; everything but learned models is fast)")


def _models() -> Finding:
    from img2mesh.multiview.learned.model import facts

    return Finding(
        "generator",
        "ok",
        f"learned: {facts()['name']} comes with the package; geometric needs no weights; "
        "nothing is downloaded",
    )


def _cache() -> Finding:
    from img2mesh.jobs.request import default_cache_dir

    folder = default_cache_dir()
    existing = next(path for path in [folder, *folder.parents] if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding(
            "cache", "broken", f"{folder} cannot be written", "set IMG2MESH_CACHE to a folder"
        )
    free = shutil.disk_usage(existing).free / 1e9
    state = "ok" if free > 1 else "broken"
    return Finding(
        "cache",
        state,
        f"{folder} ({free:.0f} GB free)",
        "" if state == "ok" else "img2mesh cache trim --keep 1GB",
    )


def _node() -> Finding:
    node = shutil.which("node")
    if node:
        return Finding("node", "ok", node)
    return Finding("node", "absent", "not there", "only the tests use it, to validate the GLB")
