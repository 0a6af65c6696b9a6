"""A Zero-1-to-3 checkpoint, folder or original file, read as data into stock modules.

Two folder layouts are in use, told apart by the folder of the projection: ``cc_projection`` (the
community pipeline's, whose configuration usually lacks the sizes) and ``clip_camera_projection``
(threestudio's and DreamGaussian's). Class names of pipeline and projection are ignored: neither is
ever run. Original ``.ckpt`` files are translated by :mod:`.original`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from img2mesh.diffusion import adapters, weights
from img2mesh.diffusion.modules import diffusers_module, transformers_module
from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.errors import InputError
from img2mesh.multiview.zero123.components import PUBLISHED, PURPOSE, Components, projection_of
from img2mesh.multiview.zero123.original import load_original
from img2mesh.multiview.zero123plus.preprocess import ImageProcessor

Layout = Literal["cc_projection", "clip_camera_projection"]


def load_components(
    place: Path, *, dtype: torch.dtype = torch.float32, lora: Path | None = None
) -> Components:
    """Read a folder in either layout, or an original ``.ckpt`` file, and add an adapter.

    Raises:
        InputError: a part is missing, unexpected or does not fit; says which.
        MissingExtraError: diffusers or transformers is not installed.
    """
    parts = load_original(place, dtype=dtype) if place.is_file() else _load_folder(place, dtype)
    _require_fitting(parts, place)
    if lora is not None:
        adapters.add(parts.unet, lora)
    return parts


def layout_of(folder: Path) -> Layout:
    """Which of the two layouts a folder is in.

    Raises:
        InputError: neither.
    """
    names: tuple[Layout, ...] = ("cc_projection", "clip_camera_projection")
    for name in names:
        if (folder / name).is_dir():
            return name
    raise InputError(
        f"{folder} holds neither cc_projection/ nor clip_camera_projection/; expected a "
        "Zero-1-to-3 checkpoint in one of these layouts, or an original .ckpt file"
    )


def _load_folder(folder: Path, dtype: torch.dtype) -> Components:
    layout = layout_of(folder)
    file = weights.find_weights(folder / layout, weights.DIFFUSERS_NAMES)
    processor = None
    if layout == "clip_camera_projection":
        path = folder / "feature_extractor" / "preprocessor_config.json"
        processor = ImageProcessor.from_config(weights.read_json(path))
    training, final, notes = _schedule(folder / "scheduler" / "scheduler_config.json")
    return Components(
        unet=diffusers_module("UNet2DConditionModel", folder / "unet", dtype, purpose=PURPOSE),
        vae=diffusers_module("AutoencoderKL", folder / "vae", dtype, purpose=PURPOSE),
        image_encoder=transformers_module(
            "CLIPVisionModelWithProjection", folder / "image_encoder", dtype, purpose=PURPOSE
        ),
        projection=projection_of(weights.read_state(file), str(file), dtype),
        processor=processor,
        training=training,
        final_alpha=final,
        notes=notes,
    )


def _schedule(path: Path) -> tuple[TrainingSchedule, float, tuple[str, ...]]:
    config = weights.read_json(path)
    training = TrainingSchedule.from_config(config)
    if training.prediction != "epsilon":
        raise InputError(f"{path} asks for {training.prediction}, Zero-1-to-3 predicts epsilon")
    if config.get("clip_sample", False) or config.get("thresholding", False):
        raise InputError(f"{path} asks for clipped samples, which Zero-1-to-3 was not trained with")
    final = 1.0 if config.get("set_alpha_to_one", True) else float(training.alphas_cumprod()[0])
    published = (PUBLISHED.beta_start, PUBLISHED.beta_end, PUBLISHED.beta_schedule)
    stated = (training.beta_start, training.beta_end, training.beta_schedule)
    if stated == published:
        return training, final, ()
    text = "{:g} to {:g}, {}"
    note = (
        f"its scheduler says betas {text.format(*stated)}; published checkpoints were trained on "
        f"{text.format(*published)} (a converter is known to write the wrong numbers)"
    )
    return training, final, (note,)


def _require_fitting(parts: Components, place: Path) -> None:
    width = parts.projection.out_features
    unet, latent = parts.unet.config, parts.vae.config.latent_channels
    for what, got, expected in (
        ("U-Net input channels", unet.in_channels, 2 * latent),
        ("U-Net context width", unet.cross_attention_dim, width),
        ("image embedding width", parts.image_encoder.config.projection_dim, width),
    ):
        if got != expected:
            raise InputError(f"{place}: {what} is {got}, expected {expected} from its other parts")
