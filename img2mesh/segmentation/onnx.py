"""Salient-object networks as .onnx files through onnxruntime: U2-Net, IS-Net, BiRefNet and kin.

The file is the user's own or came by ``models fetch``; nothing is downloaded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2mesh.core.arrays import F32, U8
from img2mesh.errors import InputError, missing_extra
from img2mesh.segmentation.matte import main_object, refine_alpha
from img2mesh.segmentation.result import Segmentation


@dataclass(frozen=True)
class _Recipe:
    """How a family wants its input: (rgb - mean) / std, rgb in [0, 1]; default size."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    peak: bool = False  # divide the picture by its own maximum first


_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: By a word in the file's name, else by its input size. Sources: U-2-Net data_loader.py
#: (ToTensorLab, flag 0), DIS/IS-Net Inference.py, BiRefNet README.
_BY_NAME = {
    "isnet": _Recipe((0.5, 0.5, 0.5), (1.0, 1.0, 1.0), 1024),
    "dis": _Recipe((0.5, 0.5, 0.5), (1.0, 1.0, 1.0), 1024),
    "birefnet": _Recipe(*_IMAGENET, 1024),
    "u2net": _Recipe(*_IMAGENET, 320, peak=True),
    "silueta": _Recipe(*_IMAGENET, 320, peak=True),
}
#: No network of this kind looks at more pixels a side; a file that asks for more eats the memory.
_LARGEST = 2048
_BY_SIZE = ((512, _BY_NAME["u2net"]), (10**9, _BY_NAME["isnet"]))


def segment(rgb: U8, *, model: Path, device: str = "cpu") -> Segmentation:
    """What the network alone takes for the object.

    Args:
        rgb: (h, w, 3) uint8.
        model: see :func:`probability`.
        device: see :func:`probability`.

    Raises:
        MissingExtraError, InputError: see :func:`probability`.
    """
    mask = probability(rgb, model=model, device=device)
    matte = np.asarray(
        Image.fromarray(mask).resize(rgb.shape[1::-1], Image.Resampling.BICUBIC)
    ).clip(0, 1)
    kept, notes, _ = main_object(matte > 0.5)
    matte = np.where(kept | (matte <= 0.5), matte, 0).astype(np.float32)
    return Segmentation(refine_alpha(matte), _decisiveness(mask), notes)


def probability(rgb: U8, *, model: Path, device: str) -> F32:
    """Run the network on the whole photo, stretched to its input size.

    Args:
        rgb: (h, w, 3) uint8.
        model: .onnx file with one picture in, (1, 3, s, s), and a mask as first output.
        device: ``cuda`` uses that provider where onnxruntime has it.

    Returns:
        (s, s) float32 in [0, 1], the probability of object.

    Raises:
        MissingExtraError: no onnxruntime.
        InputError: not such a model.
    """
    session = _session(model, device)
    entry = session.get_inputs()[0]
    if len(session.get_inputs()) != 1 or len(entry.shape) != 4 or entry.shape[1] not in (3, "3"):
        raise InputError(
            f"{model.name} takes {[i.shape for i in session.get_inputs()]}: expected a network "
            "with one input of shape (1, 3, height, width), such as U2-Net, IS-Net or BiRefNet"
        )
    fixed = [side for side in entry.shape[2:] if isinstance(side, int) and side > 0]
    if max(fixed, default=0) > _LARGEST:
        raise InputError(
            f"{model.name} wants pictures of {' x '.join(map(str, fixed))} pixels: expected at "
            f"most {_LARGEST} along a side"
        )
    recipe = _recipe(model.stem, fixed)
    height, width = fixed if len(fixed) == 2 else (recipe.size, recipe.size)
    planes = _prepared(rgb, recipe, width, height)
    if "float16" in entry.type:
        planes = planes.astype(np.float16)
    try:
        outputs = session.run(None, {entry.name: planes})
    except Exception as error:  # onnxruntime has no public base class for its errors
        raise InputError(f"{model.name} does not run here: {str(error)[:120]}") from error
    last = -1 if "birefnet" in model.stem.lower() else 0
    return _probability(np.asarray(outputs[last]), model)


def _session(model: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise missing_extra("onnxruntime", extra="onnx", purpose="the onnx segmenter") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        available = onnxruntime.get_available_providers()
        providers = [p for p in ("CUDAExecutionProvider",) if p in available] + providers
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=providers)
    except Exception as error:  # see segment
        raise InputError(
            f"{str(model)!r} is not an ONNX model onnxruntime can load: {str(error)[:120]}"
        ) from error


def _recipe(stem: str, fixed: list[int]) -> _Recipe:
    name = stem.lower().replace("-", "").replace("_", "")
    for word, recipe in _BY_NAME.items():
        if word in name:
            return recipe
    size = max(fixed, default=1024)
    return next(recipe for limit, recipe in _BY_SIZE if size <= limit)


def _prepared(rgb: U8, recipe: _Recipe, width: int, height: int) -> F32:
    """(1, 3, height, width) float32."""
    resized = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(resized, dtype=np.float32)
    values = values / np.float32(max(float(values.max()), 1.0) if recipe.peak else 255)
    mean, std = np.array([recipe.mean, recipe.std], dtype=np.float32)
    return np.ascontiguousarray(((values - mean) / std).transpose(2, 0, 1)[None])


def _probability(output: np.ndarray[Any, Any], model: Path) -> F32:
    """(h, w) float32 in [0, 1] from a network's first map."""
    planes = output.astype(np.float32).reshape(-1, *output.shape[-2:]) if output.ndim >= 2 else None
    if planes is None or not np.isfinite(planes[0]).all():
        raise InputError(f"{model.name} gave no usable mask: expected one plane of finite numbers")
    mask = planes[0]
    low, high = float(mask.min()), float(mask.max())
    if low < -1e-3 or high > 1 + 1e-3:  # logits
        return np.asarray(1 / (1 + np.exp(-mask.clip(-30, 30))), np.float32)
    return np.ascontiguousarray(mask.clip(0, 1))


def _decisiveness(mask: F32) -> float:
    """Share of the summed mask that lies in sure pixels; 0 where nothing is above one half."""
    if not (mask > 0.5).any():
        return 0.0
    return round(float(mask[mask > 0.8].sum() / mask.sum()), 3)
