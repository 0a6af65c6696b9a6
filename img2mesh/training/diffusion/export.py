"""What was trained, in the official folder layouts: anything that reads those reads this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from img2mesh.diffusion import checkpoints, weights
from img2mesh.diffusion.adapters import Adapter
from img2mesh.training.diffusion.start import copy_data, write_json

_NOTHING: Mapping[str, str] = MappingProxyType({})
_WEIGHTS = "diffusion_pytorch_model.safetensors"
#: Licences of meshes that allow any use, the later ones with attribution.
_OPEN = ("CC0", "CC-BY-3", "CC-BY-4")


def export_sheets(
    base: Path,
    out: Path,
    unet: dict[str, Tensor],
    ramping: Tensor,
    note: dict[str, Any],
    *,
    controlnet: tuple[str, Any, dict[str, Tensor]] | None = None,
) -> Path:
    """Write a Zero123++ folder: the base's data with other U-Net weights and ramp.

    Args:
        base: official layout; its Python files, if any, stay behind.
        out: the new folder.
        unet: the whole state, stock names.
        ramping: (77,) the trained ramp.
        note: what ``img2mesh.json`` says, see :func:`note_of`.
        controlnet: sub-folder, configuration and state of a ControlNet to put inside.
    """
    for part in sorted(p for p in base.iterdir() if p.is_dir()):
        copy_data(part, out / part.name)
    for stale in (out / "unet").glob("*"):
        if stale.name != "config.json":
            stale.unlink()
    save_weights(out / "unet" / _WEIGHTS, unet)
    if controlnet is not None:
        folder, config, state = controlnet
        write_json(out / folder / "config.json", config)
        save_weights(out / folder / _WEIGHTS, state)
    index = weights.read_json(base / "model_index.json")
    index["ramping_coefficients"] = [float(x) for x in ramping.tolist()]
    write_json(out / "model_index.json", index)
    write_json(out / checkpoints.NOTE_NAME, note)
    return out


def export_pairs(
    base: Path,
    out: Path,
    layout: str,
    unet: dict[str, Tensor],
    projection: dict[str, Tensor],
    note: dict[str, Any],
) -> Path:
    """Write a Zero-1-to-3 folder: the base's data with other U-Net and projection weights.

    Args:
        base: a folder in one of the two layouts.
        out: the new folder.
        layout: name of the projection's folder, which decides its tensors' prefix.
        unet, projection: whole states.
        note: what ``img2mesh.json`` says, see :func:`note_of`.
    """
    copy_data(base, out)
    prefix = {"cc_projection": "projection", "clip_camera_projection": "proj"}[layout]
    for folder in ("unet", layout):
        for stale in (out / folder).glob("*"):
            if stale.name != "config.json":
                stale.unlink()
    save_weights(out / "unet" / _WEIGHTS, unet)
    save_weights(out / layout / _WEIGHTS, {f"{prefix}.{k}": v for k, v in projection.items()})
    write_json(out / checkpoints.NOTE_NAME, note)
    return out


def note_of(base: Path, meshes: tuple[str, ...], said: str, **cameras: Any) -> dict[str, Any]:
    """The note of a folder of one's own: its cameras, and licences of start weights and meshes.

    Commercial use is only claimed where both are known to allow it.

    Args:
        base: what it began with.
        meshes: their licences.
        said: what a user should know.
        cameras: ``rig`` and the like, see :class:`img2mesh.diffusion.checkpoints.Checkpoint`.
    """
    began, shown = checkpoints.describe(base), _shown(meshes)
    return {
        **cameras,
        "licence": f"start weights: {began.licence}; {shown}",
        "commercial": began.commercial and _open(meshes),
        "note": said,
    }


def adapter_of(family: str, meshes: tuple[str, ...], said: str) -> Adapter:
    """What the header of an adapter's file says; arguments as for :func:`note_of`."""
    return Adapter(family, _shown(meshes), _open(meshes), said)


def _shown(meshes: tuple[str, ...]) -> str:
    return f"meshes: {', '.join(meshes) or 'unknown'}"


def _open(meshes: tuple[str, ...]) -> bool:
    return bool(meshes) and all(name.startswith(_OPEN) for name in meshes)


def save_weights(file: Path, state: dict[str, Tensor], said: Mapping[str, str] = _NOTHING) -> None:
    """A safetensors file, with more entries of its header, written aside and renamed."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.part")
    tensors = {k: v.detach().to("cpu", torch.float32).contiguous() for k, v in state.items()}
    save_file(tensors, aside, metadata={"format": "pt", **said})
    aside.replace(file)
