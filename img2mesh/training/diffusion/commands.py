"""The bodies of ``img2mesh train zero123plus``, ``controlnet`` and ``zero123``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from img2mesh.errors import InputError
from img2mesh.training.diffusion.options import Options

#: Inside the folder of a run: the loop's files, the start assembled from parts, the result.
RUN, START, MODEL, SAMPLES, LORA_FILE = "run", "start", "model", "samples", "lora.safetensors"


def train_zero123plus(
    renders: Path,
    base: Path,
    out: Path,
    options: Options,
    *,
    phase: Literal[1, 2] = 1,
    vision: Path | None = None,
    gamma: float | None = 5.0,
    lora: int = 0,
    after_step: Callable[[int], None] = lambda step: None,
    note: Callable[[str], None] = print,
) -> Path:
    """Train a Zero123++, or adapters on one, and export it.

    Args:
        renders: data set of ``img2mesh render --layout zero123plus``.
        base: Zero123++ or Stable Diffusion 2 (v-prediction) folder to begin with.
        out: ``run``, ``samples`` and ``model`` (official layout) go here.
        options: see :class:`Options`.
        phase: 1 tunes attention, 2 the whole U-Net.
        vision: CLIP's vision tower, for a base without one.
        gamma: of the Min-SNR weights; None weighs all levels alike.
        lora: rank of adapters to train instead of a phase; 0 trains no adapters.
        after_step, note: told about steps, and lines of progress.

    Returns:
        The exported folder: give it as ``--generator``.

    Raises:
        InputError: data or weights that cannot be used; before the work starts.
    """
    from img2mesh.training.diffusion import lora as adapters
    from img2mesh.training.diffusion import rates
    from img2mesh.training.diffusion.export import adapter_of, export_sheets, save_weights

    rate = rates.LORA if lora else rates.ZERO123PLUS[phase]
    begun = _begin_sheets(renders, base, out, options, vision)
    model = begun.model(gamma, options)
    model.choose(phase)
    if lora:
        model.requires_grad_(False)
        adapters.install(model.unet, lora)
        model.install()
    finished = begun.train(model, options, rate, None, after_step, note)
    target = out / MODEL
    if _not_the_first():
        return target
    said = f"adapters of rank {lora}" if lora else f"phase {phase}"
    text = f"{said}, {options.steps} steps, {len(begun.data.folders)} objects"
    if lora:
        header = adapter_of("zero123plus", begun.data.licences, text).header()
        save_weights(out / LORA_FILE, adapters.state_of(finished), header)
    with_averages(model, finished)
    if lora:
        adapters.remove(model.unet)
    facts = begun.note(text)
    return export_sheets(begun.folder, target, model.unet.state_dict(), model.ramping, facts)


def train_controlnet(
    renders: Path,
    base: Path,
    out: Path,
    options: Options,
    *,
    control: Literal["depth", "normals"] = "depth",
    gamma: float | None = 5.0,
    after_step: Callable[[int], None] = lambda step: None,
    note: Callable[[str], None] = print,
) -> Path:
    """Train a ControlNet on a frozen Zero123++ and export both as one folder.

    ``depth`` is shown the six depth maps; ``normals`` is shown the six views and draws their
    normals. It begins as a copy of the encoder with zero convolutions: the base, exactly.

    Raises:
        InputError: data or weights that cannot be used; before the work starts.
    """
    from img2mesh.training.diffusion import rates
    from img2mesh.training.diffusion.export import export_sheets

    begun = _begin_sheets(renders, base, out, options, None)
    net = fresh_controlnet(begun.parts, options.seed)
    model = begun.model(gamma, options, net)
    model.choose(2)
    finished = begun.train(model, options, rates.CONTROLNET, control, after_step, note)
    target = out / MODEL
    if _not_the_first():
        return target
    with_averages(model, finished)
    text = f"{control} ControlNet, {options.steps} steps, {len(begun.data.folders)} objects"
    facts = begun.note(text)
    folder = {"depth": "controlnet", "normals": "controlnet_normals"}[control]
    config = {k: v for k, v in dict(net.config).items() if not k.startswith("_")}
    inside = (folder, {"_class_name": "ControlNetModel", **config}, net.state_dict())
    return export_sheets(
        begun.folder, target, model.unet.state_dict(), model.ramping, facts, controlnet=inside
    )


def train_zero123(
    renders: Path,
    base: Path,
    out: Path,
    options: Options,
    *,
    lora: int = 0,
    after_step: Callable[[int], None] = lambda step: None,
    note: Callable[[str], None] = print,
) -> Path:
    """Train a Zero-1-to-3 on, or adapters on one, and export it in the layout of its base.

    Raises:
        InputError: data or weights that cannot be used; before the work starts.
    """
    _require_extras()
    _refuse_second(out, options)
    from functools import partial

    import torch

    from img2mesh.diffusion.checkpoints import describe
    from img2mesh.multiview.zero123.loading import layout_of, load_components
    from img2mesh.training.diffusion import loop, rates
    from img2mesh.training.diffusion import lora as adapters
    from img2mesh.training.diffusion.export import adapter_of, export_pairs, note_of, save_weights
    from img2mesh.training.diffusion.pair_model import PairModel, rate_factor
    from img2mesh.training.diffusion.pairs import PairData

    data = PairData.open(renders)
    layout_of(base)
    parts = load_components(base)
    sample = partial(
        data.sample,
        size=parts.size,
        factor=parts.vae_factor,
        channels=parts.vae.config.latent_channels,
        levels=parts.training.train_steps,
        drop=options.drop,
        clip_size=parts.image_encoder.config.image_size,
        processor=parts.processor,
    )
    torch.manual_seed(options.seed)
    model = PairModel(parts)
    model.choose()
    if lora:
        model.requires_grad_(False)
        adapters.install(model.unet, lora)
    if options.checkpointing:
        model.enable_checkpointing()
    finished = loop.train(
        model,
        sample,
        options.plan(rates.LORA if lora else rates.ZERO123),
        out / RUN,
        factors=rate_factor,
        place=model.place,
        note=note,
        after_step=after_step,
    )
    target = out / MODEL
    if _not_the_first():
        return target
    said = f"adapters of rank {lora}" if lora else "trained on"
    text = f"{said}, {options.steps} steps, {len(data.folders)} objects"
    if lora:
        header = adapter_of("zero123", data.licences, text).header()
        save_weights(out / LORA_FILE, adapters.state_of(finished), header)
    with_averages(model, finished)
    if lora:
        adapters.remove(model.unet)
    began = describe(base)
    return export_pairs(
        base,
        target,
        layout_of(base),
        model.unet.state_dict(),
        model.projection.state_dict(),
        note_of(base, data.licences, text, camera=began.camera, tile=began.tile),
    )


def fresh_controlnet(parts: Any, seed: int) -> Any:
    """A ControlNet: the U-Net's encoder and zero convolutions; its pictures shrink as the VAE's."""
    import torch
    from diffusers import ControlNetModel

    torch.manual_seed(seed)
    halvings = len(parts.vae.config.block_out_channels) - 1
    channels = (16, 32, 96, 256)[: halvings + 1]
    channels += (256,) * (halvings + 1 - len(channels))
    net: Any = ControlNetModel
    return net.from_unet(parts.unet, conditioning_embedding_out_channels=channels)


def with_averages(model: Any, averages: dict[str, Any]) -> None:
    """Put the moving averages in the place of the parameters."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in averages:
                parameter.copy_(averages[name])
    model.to("cpu")


@dataclass(frozen=True)
class _Sheets:
    """What the two trainers of sheets begin with."""

    data: Any
    folder: Path
    parts: Any
    out: Path

    def model(self, gamma: float | None, options: Options, controlnet: Any = None) -> Any:
        import torch

        from img2mesh.training.diffusion.sheet_model import SheetModel

        torch.manual_seed(options.seed)
        model = SheetModel(self.parts, gamma=gamma, controlnet=controlnet)
        if options.checkpointing:
            model.enable_checkpointing()
        return model

    def train(
        self,
        model: Any,
        options: Options,
        rate: Any,
        control: Literal["depth", "normals"] | None,
        after_step: Callable[[int], None],
        note: Callable[[str], None],
    ) -> dict[str, Any]:
        from functools import partial

        from img2mesh.training.diffusion import loop

        sample = partial(
            self.data.sample,
            for_vae=self.parts.for_vae,
            for_clip=self.parts.for_clip,
            factor=self.parts.vae_factor,
            channels=self.parts.vae.config.latent_channels,
            levels=self.parts.training.train_steps,
            drop=options.drop,
            control=control,
        )
        return loop.train(
            model,
            sample,
            options.plan(rate),
            self.out / RUN,
            place=model.place,
            draw=lambda step: self.draw(model, control, step, options.sample_steps),
            note=note,
            after_step=after_step,
        )

    def note(self, text: str) -> dict[str, Any]:
        from img2mesh.training.diffusion.export import note_of

        cameras = {"rig": self.data.rig, "tile": self.data.tile}
        return note_of(self.folder, self.data.licences, text, **cameras)

    def draw(
        self, model: Any, control: Literal["depth", "normals"] | None, step: int, steps: int
    ) -> None:
        """A sheet of the first object, as the pipeline would draw it now."""
        import numpy as np
        import torch
        from PIL import Image

        from img2mesh.multiview.zero123plus.model import Zero123Plus
        from img2mesh.training.diffusion.sheets import depth_sheet, opened, sheet

        device = next(model.parameters()).device
        folder, tile = self.data.folders[0], self.data.tile
        photo = opened(folder / "000.png")
        led_by = None
        if control is not None:
            made = depth_sheet(folder, tile) if control == "depth" else sheet(folder, "", tile)
            led_by = Image.fromarray(made)
        half = self.parts.vae.dtype == torch.bfloat16
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            images = Zero123Plus(self.parts, model.controlnet, device=device).sample(
                photo, led_by, 1.0, steps, width=2 * tile, height=3 * tile, seed=0
            ).images  # fmt: skip
        model.install()  # the sampler brought its own attention
        file = self.out / SAMPLES / f"{step:07d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(images[0] * 255).astype(np.uint8)).save(file)


def _begin_sheets(
    renders: Path, base: Path, out: Path, options: Options, vision: Path | None
) -> _Sheets:
    _require_extras()
    _refuse_second(out, options)
    from img2mesh.multiview.zero123plus.components import load_components
    from img2mesh.training.diffusion.sheets import SheetData
    from img2mesh.training.diffusion.start import official_folder

    data = SheetData.open(renders)
    folder = official_folder(base, vision, out / START)
    parts = load_components(folder)
    if data.tile % parts.vae_factor:
        raise InputError(
            f"the renders' side of {data.tile} pixels is no multiple of the VAE's "
            f"{parts.vae_factor}: render with another --image-size"
        )
    return _Sheets(data, folder, parts, out)


def _refuse_second(out: Path, options: Options) -> None:
    if (out / RUN / "checkpoint.pt").exists() and not options.resume:
        raise InputError(f"{out} holds a run already: --resume goes on with it")


def _require_extras() -> None:
    try:
        import accelerate  # noqa: F401
        import diffusers  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as cause:
        raise InputError(
            f"training needs {cause.name}: pip install 'img2mesh[train,diffusion]'"
        ) from cause


def _not_the_first() -> bool:
    """Of several processes the first one writes."""
    return bool(int(os.environ.get("RANK", "0")))
