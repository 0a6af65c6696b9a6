"""From a decoded picture in whatever mode its file had to upright 8-bit sRGB and alpha."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from img2mesh.core.arrays import U8
from img2mesh.io.tiff import white_of

#: EXIF tag 0x0112 (TIFF 6.0, p. 36) and the turn that undoes each value.
_ORIENTATION_TAG = 0x0112
#: Formats of which one file may hold several pictures.
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_WHITE = "the values of this picture are taken to reach white at {:g}"


def to_srgb(image: Image.Image, *, longest: int | None) -> tuple[U8, U8 | None, tuple[str, ...]]:
    """Convert a loaded picture.

    The order keeps memory low (at most one more copy at full size, then everything small) and
    colours right: 8 bits a channel, reduce with premultiplied alpha, turn, profile to sRGB.

    Args:
        image: any mode, loaded; for several frames the current one.
        longest: limit for the longest side, in pixels; None leaves the size alone.

    Returns:
        rgb: (h, w, 3) uint8.
        alpha: (h, w) uint8, or None where every pixel is opaque.
        notes: sentences for the user.
    """
    notes: list[str] = []
    if page := image.info.get("page"):
        notes.append(page)
    elif image.format in ANIMATED and getattr(image, "is_animated", False):
        notes.append(f"the {image.format} has several frames or pages; the first one is used")
    if white := image.info.get("white"):
        notes.append(_WHITE.format(white))
    # Read after load(): for TIFF, Pillow has then already turned the picture and cleared the tag.
    orientation = orientation_of(image)
    profile = image.info.get("icc_profile")
    image = _to_eight_bits(image, notes)
    if longest is not None:
        image = _reduce(image, longest)
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    alpha = None
    if image.mode in ("LA", "RGBA"):
        plane = image.getchannel("A")
        image = image.convert(image.mode[:-1])
        if plane.getextrema() != (255, 255):
            alpha = np.array(plane)
    return np.array(_to_srgb(image, profile, notes)), alpha, tuple(notes)


def shown_labels(image: Image.Image) -> Image.Image:
    """A mask of 16 or 32 bits that numbers things: every number but 0 in white; others stay."""
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if not 0 < values.max() < 32768:
        return image
    shown = Image.fromarray(np.where(values > 0, 255, 0).astype(np.uint8))
    shown.info |= image.info
    shown.format = image.format
    return shown


def orientation_of(image: Image.Image) -> int:
    """How the stored pixels lie, as EXIF counts; 1 is upright."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF is as good as none
        return 1


def _to_eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Any mode to L, LA, RGB, RGBA, CMYK or LAB."""
    transparency = image.info.get("transparency")
    if image.mode.startswith("I") or image.mode == "F":
        return _from_wide(image, transparency, notes)
    if image.mode == "P":
        return image.convert("RGB" if transparency is None else "RGBA")
    if image.mode == "1":
        image = image.convert("L")  # keeps a transparent value in info
    if image.mode in ("PA", "RGBa"):
        return image.convert("RGBA")
    if image.mode == "La":
        return image.convert("LA")
    if image.mode in ("L", "RGB") and transparency is not None:
        return _keyed(image, transparency)
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        return image
    return image.convert("RGB")  # YCbCr, HSV, RGBX, ...


def _keyed(image: Image.Image, key: int | tuple[int, ...] | bytes) -> Image.Image:
    """PNG's tRNS for grey and RGB: one value is transparent; 16-bit keys are cut like pixels."""
    if isinstance(key, bytes):
        return image.convert("RGBA")
    values = (key,) if isinstance(key, int) else tuple(key)
    if max(values) > 255:
        values = tuple(value >> 8 for value in values)
    image = image.copy()
    image.info["transparency"] = values[0] if image.mode == "L" else values
    return image.convert("LA" if image.mode == "L" else "RGBA")


def _from_wide(image: Image.Image, transparency: object, notes: list[str]) -> Image.Image:
    """16- and 32-bit grey, whole or floating, to 8 bits.

    Files rarely say what their white is: 16-bit modes use the whole range, or 12 bits of it if
    nothing is brighter; others are taken to end
    at 1, 255 or 65535, whichever is the first to hold every value, else at their own maximum.
    """
    values: NDArray[np.generic] = np.asarray(image)
    alpha = None
    if isinstance(transparency, int):
        alpha = np.where(values == transparency, 0, 255).astype(np.uint8)
    if image.mode.startswith("I;16"):
        white = white_of(image, float(values.max()))
        if white != 65535:
            notes.append(_WHITE.format(white))
    else:
        top = float(np.fmax.reduce(values, axis=None))  # past NaN, without a copy
        top = top if np.isfinite(top) else 65535.0
        ends = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        white = next((end for end in ends if top <= end), top)
        notes.append(_WHITE.format(white))
    grey = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), 256):  # in bands: no full-size float copy
        band = np.asarray(values[first : first + 256], dtype=np.float32)
        band = np.nan_to_num(band, nan=0.0, posinf=white, neginf=0.0)
        grey[first : first + 256] = np.clip(band * (255.0 / white) + 0.5, 0, 255)
    result = Image.fromarray(grey)
    if alpha is not None:
        result = Image.merge("LA", (result, Image.fromarray(alpha)))
    return result


def _reduce(image: Image.Image, longest: int) -> Image.Image:
    """Shrink to the limit; Pillow premultiplies alpha itself in ``resize``."""
    scale = longest / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # reducing_gap: first an integer box reduction to 3x the size, then Lanczos; no visible loss.
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """Apply the embedded profile; without one, or with a broken one, take the values as sRGB."""
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return _transform(image, ImageCms.ImageCmsProfile(lab))
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" in (ImageCms.getProfileDescription(source) or ""):
                return image.convert("RGB")  # a round trip through lcms would only add rounding
            return _transform(image, source)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            notes.append("its colour profile is damaged or of another kind and was ignored")
    return image.convert("RGB")


def _transform(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    target = ImageCms.createProfile("sRGB")
    # Relative colorimetric with black-point compensation: what browsers do.
    result = ImageCms.profileToProfile(
        image,
        source,
        target,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert result is not None  # None only for inPlace=True
    return result
