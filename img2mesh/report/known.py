"""What of an asset the photo shows and what is a guess, and the photo itself, to look at."""

from __future__ import annotations

import io

import numpy as np

from img2mesh.artifacts import Photo, TexturedMesh
from img2mesh.core.arrays import SEEN_IN_VIEWS, U8, UNSEEN

#: sRGB of the stripes: drawn by the generator, and seen by nothing.
GUESSED, FILLED = (226, 120, 40), (120, 90, 190)
_STRIPES = 48  # across the texture


def hatched(texture: U8, coverage: U8) -> U8:
    """The texture as it is where the photo shows it, striped where it does not.

    Args:
        texture: (t, t, 3) uint8 sRGB.
        coverage: (t, t) uint8 as :class:`img2mesh.artifacts.TexturedMesh` has it.

    Returns:
        (t, t, 3) uint8 sRGB.
    """
    rows, columns = np.indices(coverage.shape)
    period = max(coverage.shape[0] // _STRIPES, 4)
    stripe = (rows + columns) % period < period // 2
    shown = texture.astype(np.float32)
    for colour, place in ((GUESSED, coverage == SEEN_IN_VIEWS), (FILLED, coverage == UNSEEN)):
        weight = np.where(stripe, 0.8, 0.35).astype(np.float32)[..., None]
        tinted = shown * (1 - weight) + np.array(colour, np.float32) * weight
        shown = np.where(place[..., None], tinted, shown)
    return np.rint(shown).astype(np.uint8)


def striped(asset: TexturedMesh, *, side: int = 1024) -> bytes:
    """:func:`hatched` as a WebP file of at most ``side`` pixels: small enough for a page."""
    return _webp(hatched(asset.texture, asset.coverage), side)


def pixels_of(photo: Photo) -> U8:
    """(h, w, 4) uint8 with the photo's transparency, or (h, w, 3) where it has none."""
    return photo.rgb if photo.alpha is None else np.dstack([photo.rgb, photo.alpha])


def small_photo(photo: Photo, *, side: int = 1024) -> bytes:
    """The photo as a WebP file of at most ``side`` pixels, with its transparency if it has any."""
    return _webp(pixels_of(photo), side)


def _webp(pixels: U8, side: int) -> bytes:
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
