"""What draws a render of a finished asset again, for the refinement of its texture.

Either a text-to-image model (img2img), or, as DreamGaussian does it, a Zero-1-to-3 checkpoint that
knows the photo and the camera.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from img2mesh.artifacts import View
from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.diffusion import checkpoints, pictures
from img2mesh.diffusion.pictures import Redraw
from img2mesh.errors import InputError

if TYPE_CHECKING:
    from img2mesh.multiview.sampling import Sampling

#: Denoising steps for a whole picture and guidance of DreamGaussian's second stage.
_STEPS, _GUIDANCE = 50, 5.0


def require_redrawer(model: str, *, photo: bool = True) -> None:
    """Refuse a model that cannot draw renders again, before any work.

    Args:
        model: by name or folder.
        photo: there will be a photo whose camera is known.

    Raises:
        InputError: says which can.
    """
    record = checkpoints.record_of(model)
    if record.kind == "pipeline" and record.family == "zero123":
        checkpoints.locate(model)
        if not photo:
            raise InputError(
                f"{model} draws a render again by the photo and its camera, and there is no such "
                "photo: take a text-to-image model"
            )
        return
    pictures.require(model, purpose="--texture-refiner")


@contextmanager
def redrawing(
    model: str,
    prompt: str,
    *,
    photo: View | None,
    sampling: Sampling,
    note: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Redraw]:
    """The model, loaded, as something that draws renders again.

    Args:
        model: a text-to-image model or a Zero-1-to-3 checkpoint, by name or folder.
        prompt: what the object is; only the former hears it.
        photo: the photo with its camera; only the latter needs it.
        sampling: where.
        note: told what draws.

    Raises:
        InputError: no such model, or a photo without a camera for one that needs it.
    """
    posed = photo is not None and photo.camera is not None
    require_redrawer(model, photo=posed)
    record = checkpoints.locate(model).record
    note(f"the texture follows renders that {record.name} (licence {record.licence}) drew again")
    if record.kind == "pipeline" and photo is not None:
        from img2mesh.multiview.zero123.redraw import Redrawer
        from img2mesh.multiview.zero123.views import model_of

        with model_of(model, sampling) as zero123:
            yield Redrawer(zero123, photo, steps=_STEPS, guidance_scale=_GUIDANCE)
        return
    from img2mesh.diffusion.place import pick_device, pick_dtype

    device = pick_device(sampling.device)
    with pictures.model_of(
        model, "picture", device=device, dtype=pick_dtype(device), low_memory=sampling.low_vram
    ) as stock:

        def redraw(picture: F32, camera: Camera, /, *, strength: float, seed: int) -> F32:
            wish = pictures.Wish(prompt, "", _STEPS, _GUIDANCE, seed)
            return stock.redraw(picture, wish, strength=strength)

        yield redraw
