"""A folder to begin with: an official Zero123++ layout made of Stable Diffusion 2 and CLIP."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from img2mesh.diffusion import weights
from img2mesh.errors import InputError

PIPELINE = "Zero123PlusPipeline"
_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
#: Files of a component that are data; a checkpoint's Python files are never copied.
_DATA = (".json", ".safetensors", ".bin", ".txt")


def official_folder(base: Path, vision: Path | None, into: Path) -> Path:
    """``base`` itself where it has the official layout, else one made in ``into``.

    Args:
        base: a Zero123++ folder, or Stable Diffusion 2 (v-prediction) in diffusers' layout.
        vision: CLIP's vision tower with projection, which Stable Diffusion lacks.
        into: where the folder is made; one that is there is used.

    Raises:
        InputError: neither layout, or the vision tower is missing or of another width.
    """
    index = weights.read_json(base / "model_index.json")
    if index.get("_class_name") == PIPELINE:
        return base
    if index.get("_class_name") != "StableDiffusionPipeline":
        raise InputError(
            f"{base} holds a {index.get('_class_name')!r}; training begins with Zero123++ or with "
            "Stable Diffusion 2 (v-prediction)"
        )
    if vision is None:
        raise InputError(
            f"{base} is Stable Diffusion and has no vision tower: give CLIP's ViT-H with "
            "projection as --vision DIR"
        )
    if (into / "model_index.json").is_file():
        return into
    text = weights.read_json(base / "text_encoder" / "config.json")
    seen = weights.read_json(vision / "config.json")
    width = seen.get("projection_dim")
    if width != text.get("hidden_size"):
        raise InputError(
            f"the vision tower of {vision} projects to {width} values, the prompt of {base} has "
            f"{text.get('hidden_size')}; they must be equal to be added"
        )
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        copy_data(base / part, into / part)
    copy_data(vision, into / "vision_encoder", shallow=True)
    length = int(text.get("max_position_embeddings", 77))
    write_json(into / "scheduler" / "scheduler_config.json", _scheduler())
    vae = weights.read_json(base / "vae" / "config.json")
    clip = int(seen.get("vision_config", seen).get("image_size", 224))
    write_json(into / "feature_extractor_vae" / "preprocessor_config.json",
               _processor(min(512, int(vae.get("sample_size", 512))), 0.5, 0.8, 2))  # fmt: skip
    write_json(into / "feature_extractor_clip" / "preprocessor_config.json",
               _processor(clip, _CLIP_MEAN, _CLIP_STD, 3))  # fmt: skip
    write_json(into / "model_index.json", _index([k / length for k in range(length)]))
    return into


def copy_data(source: Path, target: Path, *, shallow: bool = False) -> None:
    """The data files of a folder: configurations, tokens, weights.

    Raises:
        InputError: no such folder.
    """
    if not source.is_dir():
        raise InputError(f"{source} is missing: expected a checkpoint in diffusers' layout")
    for file in sorted(source.glob("*") if shallow else source.rglob("*")):
        if file.is_file() and file.suffix in _DATA:
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def write_json(file: Path, value: dict[str, Any]) -> None:
    """One JSON object, sorted."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _index(ramping: list[float]) -> dict[str, Any]:
    clip = ["transformers", "CLIPImageProcessor"]
    return {
        "_class_name": PIPELINE,
        "feature_extractor_clip": clip,
        "feature_extractor_vae": clip,
        "ramping_coefficients": ramping,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "vision_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    }


def _scheduler() -> dict[str, Any]:
    """Linear betas: Stable Diffusion's own keep the global structure nearly fixed."""
    return {
        "_class_name": "EulerAncestralDiscreteScheduler",
        "beta_end": 0.012,
        "beta_schedule": "linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "steps_offset": 1,
        "timestep_spacing": "trailing",
        "trained_betas": None,
    }


def _processor(pixels: int, mean: Any, std: Any, resample: int) -> dict[str, Any]:
    return {
        "crop_size": {"height": pixels, "width": pixels},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": mean,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": std,
        "resample": resample,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": pixels},
    }
