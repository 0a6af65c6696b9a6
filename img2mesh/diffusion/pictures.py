"""Pictures from text, and pictures drawn again, by any stock pipeline that diffusers knows.

A checkpoint is data: components are stock classes of diffusers and transformers, weights are
safetensors, and nothing in its folder is executed.
"""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.diffusion import checkpoints
from img2mesh.diffusion.loaded import loaded
from img2mesh.errors import InputError, missing_extra
from img2mesh.imaging.resize import resample

if TYPE_CHECKING:
    import torch

#: From text alone, or from a picture.
Task = Literal["text", "picture"]
#: Where the classes of a checkpoint's parts may come from; the last is diffusers' safety checker.
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion")


@dataclass(frozen=True)
class Wish:
    """What to draw, and how.

    Attributes:
        prompt: what is to be seen.
        negative: what is not.
        steps: denoising steps, for a picture from pure noise.
        guidance_scale: classifier-free guidance.
        seed: of all noise; drawn on the CPU, so that it is the same on every device.
    """

    prompt: str
    negative: str
    steps: int
    guidance_scale: float
    seed: int


class Redraw(Protocol):
    """Draws a render again."""

    def __call__(self, picture: F32, camera: Camera, /, *, strength: float, seed: int) -> F32:
        """(h, w, 3) float32 in [0, 1] on white, and what it becomes.

        Args:
            picture: the render.
            camera: where it was seen from.
            strength: share of the denoising that is done again.
            seed: of the noise.
        """


def require(model: str, *, purpose: str) -> checkpoints.Checkpoint:
    """Find out, before any work, that a model cannot draw pictures here.

    Args:
        model: a name of ``models list``, or a folder in the layout of diffusers.
        purpose: what needs it, for the message.

    Raises:
        InputError: it is not on this machine (says how to fetch it), or draws something else.
        MissingExtraError: diffusers or transformers is not installed.
    """
    record = checkpoints.record_of(model)
    if record.kind != "pictures":
        able = [c.name for c in checkpoints.TABLE.values() if c.kind == "pictures"]
        raise InputError(
            f"{purpose} needs a model that draws pictures from text, and {model} is none: take "
            f"{', '.join(able)}, or a folder of such a model in the layout of diffusers"
        )
    for library in ("diffusers", "transformers"):
        if importlib.util.find_spec(library) is None:
            raise missing_extra(library, extra="diffusion", purpose=purpose)
    return checkpoints.locate(model).record


def identity(*, model: str, **settings: object) -> dict[str, str]:
    """What tells a model's weights from others': part of the cache key.

    Raises:
        InputError: it is not on this machine.
    """
    return {"model": checkpoints.identity(model)}


@contextmanager
def model_of(
    model: str, task: Task, *, device: torch.device, dtype: torch.dtype, low_memory: bool
) -> Iterator[Model]:
    """A model, kept for the next picture of this process; see :mod:`.loaded`.

    Args:
        model: a name of ``models list`` that was fetched, or a folder.
        task: what it is wanted for.
        device, dtype: where and how it computes.
        low_memory: have one part of it on the device at a time.

    Raises:
        InputError: no such model, or one that cannot be read as data.
    """
    require(model, purpose="drawing")
    found = checkpoints.locate(model)
    key = (Model, task, found.folder, found.identity(), device, dtype, low_memory)
    with loaded(key, lambda: Model.load(found, task, device, dtype, low_memory)) as one:
        yield one


class Model:
    """A loaded stock pipeline.

    Args:
        pipe: of diffusers, for one task.
        side: of the pictures it was trained on, pixels; 0 where it does not say.
    """

    def __init__(self, pipe: Any, side: int) -> None:
        self.pipe, self.side = pipe, side
        self._takes = inspect.signature(pipe.__call__).parameters

    @classmethod
    def load(
        cls,
        found: checkpoints.Located,
        task: Task,
        device: torch.device,
        dtype: torch.dtype,
        low_memory: bool,
    ) -> Model:
        """Read a folder.

        Raises:
            InputError: it names code of its own, holds no safetensors, or does not fit together.
        """
        import diffusers as typed_diffusers

        from img2mesh.diffusion import weights

        diffusers: Any = typed_diffusers
        folder = found.folder
        index = weights.read_json(folder / "model_index.json")
        _require_stock(folder, index)
        auto = "AutoPipelineForText2Image" if task == "text" else "AutoPipelineForImage2Image"
        half = any(folder.glob("*/*.fp16.safetensors")) and not _plain(folder)
        try:
            with _quiet():
                pipe = getattr(diffusers, auto).from_pretrained(
                    str(folder),
                    torch_dtype=dtype,  # its name in every version that is allowed
                    use_safetensors=True,
                    local_files_only=True,
                    variant="fp16" if half else None,
                )
        except Exception as error:  # a dozen types; all mean that the folder is no such model
            cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(
                f"{folder} cannot be read as a model that draws pictures ({cause}); expected the "
                "layout of diffusers with weights as safetensors"
            ) from None
        pipe.set_progress_bar_config(disable=True)
        if low_memory and device.type != "cpu":
            pipe.enable_model_cpu_offload(device=device)
        else:
            pipe.to(device)
        network = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
        size: Any = getattr(getattr(network, "config", None), "sample_size", None)
        factor: Any = getattr(pipe, "vae_scale_factor", None)
        known = isinstance(size, int) and isinstance(factor, int)
        return cls(pipe, size * factor if known else 0)

    def draw(self, wish: Wish, *, size: int | None, progress: Callable[[float], None]) -> F32:
        """One picture from text.

        Args:
            wish: what, and how.
            size: its side in pixels; None takes the one the model was trained on.
            progress: told the fraction done.

        Returns:
            (h, w, 3) float32 in [0, 1].

        Raises:
            InputError: a size or prompt that the model cannot work with.
        """
        sides = {} if size is None else {"width": size, "height": size}
        return self._called(wish, wish.steps, progress, **sides)

    def redraw(
        self,
        picture: F32,
        wish: Wish,
        *,
        strength: float,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> F32:
        """A picture drawn again from its own noised latents (img2img, SDEdit).

        The model sees it at the size that it was trained on and the answer has the given one.

        Args:
            picture: (h, w, 3) float32 in [0, 1].
            wish: what it shows, and how.
            strength: share of the denoising that is done again, in [0, 1].
            progress: told the fraction done.

        Returns:
            (h, w, 3) float32; the picture itself where not one step is left to do.
        """
        visited = visited_steps(wish.steps, strength)
        if visited == 0:
            return picture
        from PIL import Image

        height, width = picture.shape[:2]
        side = self.side or max(height, width)
        large = np.clip(resample(picture, width=side, height=side, how="bicubic"), 0, 1)
        shown = Image.fromarray(np.rint(large * 255).astype(np.uint8))
        drawn = self._called(wish, visited, progress, image=shown, strength=strength)
        return at_size(drawn, width=width, height=height)

    def _called(
        self, wish: Wish, visited: int, progress: Callable[[float], None], **more: Any
    ) -> F32:
        import torch

        done = 0

        def tell(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            nonlocal done
            done += 1
            progress(min(done / max(visited, 1), 1.0))
            return {}

        asked = {
            "prompt": wish.prompt,
            "negative_prompt": wish.negative or None,
            "num_inference_steps": wish.steps,
            "guidance_scale": wish.guidance_scale,
            "callback_on_step_end": tell,
            **more,
        }
        heard = {k: v for k, v in asked.items() if k in self._takes}
        noise = torch.Generator("cpu").manual_seed(wish.seed)
        try:
            pictures = self.pipe(**heard, generator=noise, output_type="np").images
        except ValueError as error:  # how diffusers refuses sizes and prompts
            cause = " ".join(str(error).split())[:200]
            raise InputError(f"the model cannot draw that: {cause}") from None
        if not np.isfinite(pictures).all():
            raise InputError(
                "the picture that was drawn is not finite numbers: the model does not work in this "
                "precision, or its weights are damaged; try --device cpu"
            )
        return np.clip(pictures[0], 0, 1).astype(np.float32)


def at_size(drawn: F32, *, width: int, height: int) -> F32:
    """What a model drew (h, w, 3) at the size of what it was shown, in [0, 1]."""
    how: Literal["area", "bicubic"] = "area" if len(drawn) > height else "bicubic"
    return np.clip(resample(drawn, width=width, height=height, how=how), 0, 1).astype(np.float32)


def visited_steps(steps: int, strength: float) -> int:
    """How many of ``steps`` a strength in [0, 1] does again, as diffusers counts them."""
    return min(int(steps * strength), steps)


@contextmanager
def _quiet() -> Iterator[None]:
    """Both libraries draw bars of their own and warn of what nobody here can change."""
    from diffusers.utils import logging as ours
    from transformers.utils import logging as theirs

    before = ours.get_verbosity(), theirs.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in (ours, theirs):
            one.set_verbosity_error()
            one.disable_progress_bar()
        try:
            yield
        finally:
            ours.set_verbosity(before[0])
            theirs.set_verbosity(before[1])


def _plain(folder: Path) -> bool:
    return any(".fp16." not in path.name for path in folder.glob("*/*.safetensors"))


def _require_stock(folder: Path, index: Mapping[str, Any]) -> None:
    """Refuse parts whose class is no stock one: they would be code from the folder.

    Raises:
        InputError: names the part.
    """
    for part, entry in index.items():
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] is None:
            continue
        if entry[0] not in _LIBRARIES:
            raise InputError(
                f"{folder}/model_index.json takes {part} from {entry[0]!r}: only stock classes of "
                "diffusers and transformers are used, never code from a checkpoint"
            )
