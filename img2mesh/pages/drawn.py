"""The page before the first: text → photo → everything that becomes of a photo.

The photo is drawn by a text-to-image model and is a stage like the others: stored, keyed, and drawn
again only where its text, its model or a setting changed. As on the first page, the defaults here
are the only ones.
"""

from __future__ import annotations

from typing import Annotated

from img2mesh.artifacts import Photo, Provenance
from img2mesh.core.names import safe_name
from img2mesh.core.ranges import Between
from img2mesh.diffusion import pictures
from img2mesh.graph import Graph, Run, stage
from img2mesh.pipeline import (
    Seed,
    asset,
    cutout,
    depths,
    game,
    quality,
    radiance,
    refined,
    registered,
    surface,
    views,
)


@stage(version=1, identity=pictures.identity)
def photo(
    text: str,
    *,
    model: str = "sdxl",
    suffix: str = "one single object, whole and centred, three-quarter view from slightly above, "
    "plain white background, soft even light, sharp product photo",
    negative: str = "several objects, cropped, cut off, text, watermark, frame, hands, people, "
    "busy background, scenery, hard shadow, reflection, blurry, low quality",
    steps: Annotated[int, Between(1, 1000)] = 30,
    guidance_scale: Annotated[float, Between(0, 100)] = 7.0,
    size: Annotated[int | None, Between(64, 2048)] = None,
    seed: Seed = 42,
    run: Run | None = None,
) -> Photo:
    """A picture of what a text says: one object on a plain ground.

    Args:
        text: what the object is.
        model: a text-to-image model: a name of ``models list``, or a folder as diffusers saves it.
        suffix: said after the text, for a picture that can be cut out; may be empty.
        negative: what is not to be seen; not every model hears it.
        steps: denoising steps.
        guidance_scale: classifier-free guidance.
        size: side of the picture in pixels; none takes the model's own.
        seed: of the noise.
    """
    import numpy as np

    from img2mesh.diffusion.place import pick_device, pick_dtype

    run = run or Run()
    record = pictures.require(model, purpose="--text")
    device = pick_device(run.device)
    wish = pictures.Wish(
        f"{text}, {suffix}" if suffix else text, negative, steps, guidance_scale, seed
    )
    with pictures.model_of(
        model, "text", device=device, dtype=pick_dtype(device), low_memory=run.low_memory
    ) as one:
        rgb = one.draw(wish, size=size, progress=run.progress)
    drawn = f"there is no photograph: {record.name} drew the picture from the text {text!r}"
    run.note(f"{drawn} (seed {seed}, licence {record.licence})")
    return Photo(
        np.rint(rgb * 255).astype(np.uint8),
        name=safe_name(text),
        provenance=Provenance(record.name, True, False, (record.licence,)),
    )


DRAWN = Graph(
    source={"text": str},
    stages=[
        photo, cutout, views, depths, refined, registered, radiance, surface, asset, game, quality
    ],
)  # fmt: skip
