"""The mesh turning once, as a small animated WebP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from img2mesh.artifacts import TexturedMesh
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.io.files import replacing
from img2mesh.report.preview_scene import PreviewScene

_SECONDS = 4.0  # a full turn
_QUALITY = 90  # of WebP; at 80 the soft shadow falls into blocks


def save_turntable(
    asset: TexturedMesh,
    path: Path,
    *,
    frames: int = 48,
    size: int = 384,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Write one full turn, starting at the front, looping for ever.

    Args:
        asset: what turns.
        path: the ``.webp`` file.
        frames: pictures in one turn of four seconds.
        size: side of the square picture in pixels.
        progress: called with the fraction done, in [0, 1].

    Raises:
        InputError: no frames or no size.
        Img2MeshError: the file cannot be written.
    """
    from PIL import Image

    if frames < 1 or size < 1:
        raise InputError(f"a turntable needs frames and a size, got {frames} and {size}")
    scene = PreviewScene(asset)
    azimuths = tuple(360.0 * i / frames for i in range(frames))
    pictures = []
    for number, camera in enumerate(scene.cameras(azimuths, size), start=1):
        (picture,) = scene.render_on_ground(camera)
        pictures.append(Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)))
        if progress is not None:
            progress(0.9 * number / frames)
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            pictures[0].save(
                temporary,
                "WEBP",
                save_all=True,
                append_images=pictures[1:],
                duration=max(round(1000 * _SECONDS / frames), 1),
                loop=0,
                quality=_QUALITY,
                method=4,
            )
    except OSError as cause:
        raise Img2MeshError(f"{path} cannot be written: {cause.strerror or cause}") from cause
    if progress is not None:
        progress(1.0)
    return path
