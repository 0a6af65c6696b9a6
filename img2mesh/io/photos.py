"""Pictures from files: open one safely, else say why not.

Every picture that comes from outside passes here, photos and views alike: regular files only, few
decoders, bounded sizes, upright, in sRGB. Nothing about pixels is decided here;
:mod:`img2mesh.io.pixel_modes` turns a decoded file into sRGB.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import U8, unit_floats
from img2mesh.core.silence import muted
from img2mesh.errors import InputError, missing_extra
from img2mesh.io import foreign_formats, tiff
from img2mesh.io.bounded import Whole, jpeg_scans
from img2mesh.io.inputs import refuse_address

if TYPE_CHECKING:
    from PIL import Image

    #: In memory: Pillow's or an array.
    Picture = Image.Image | NDArray[Any]

#: What a folder or glob is searched for, in any case.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif"}
) | {
    ".tif",
    ".tiff",
    ".gif",
    ".bmp",
    ".heic",
    ".heif",
}
#: The decoders that may run. Pillow has some forty; most have no business with photographs.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP")
EXPECTED = "a JPEG, PNG, WebP, AVIF, TIFF, GIF, BMP or HEIC picture"

_LOSSY = ("JPEG", "WEBP", "AVIF", "MPO")

#: Decoding keeps up to 4 bytes a pixel plus the decoder's own buffers: measured peaks at this limit
#: are below 1 GB for PNG, TIFF and GIF.
MAX_PIXELS = 100_000_000
#: JPEG shrinks while it decodes, so phones' 108 megapixels pass; a progressive one still needs
#: up to 6 bytes a pixel of coefficients. Pillow itself refuses 179 megapixels.
MAX_PIXELS_JPEG = 178_000_000
#: Scans of a JPEG; a progressive one has about ten, one of several pictures that many each.
MAX_SCANS = 100
#: WebP's decoder composes on two canvases of its own before Pillow copies: 16 bytes a pixel.
MAX_PIXELS_WEBP = 64_000_000
#: Longest side after opening. The texture of an asset is at most this wide, so more is never seen.
LONGEST_SIDE = 2048
#: Shortest side an object can be made out on.
SHORTEST_SIDE = 16
#: Longest side over shortest: a strip is not a picture of an object.
MAX_ASPECT = 20.0

_PRODUCT_OF_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def digest_of(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal.

    Raises:
        InputError: it cannot be read.
    """
    with opened(Path(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Decoded:
    """A picture as it was stored, upright and in sRGB.

    Attributes:
        rgb: (h, w, 3) uint8.
        alpha: (h, w) uint8, or None where every pixel is opaque.
        notes: what was done or ignored, in sentences for the user.
        lossy: the file was JPEG or WebP, whose flats ring around the object.
        reduction: stored pixels per pixel of ``rgb``, 1 where nothing was shrunk.
        orientation: as EXIF counts, of the stored pixels; 1 is upright.
        size: width and height of the file's picture, upright; (0, 0) for one in memory.
    """

    rgb: U8
    alpha: U8 | None
    notes: tuple[str, ...]
    lossy: bool
    reduction: float = 1.0
    orientation: int = 1
    size: tuple[int, int] = (0, 0)


def read_photo(
    photo: Path | Picture, *, mask: Path | Picture | None = None
) -> tuple[Decoded, U8 | None]:
    """A photo's first frame, upright, in sRGB, longest side at most ``LONGEST_SIDE``.

    Args:
        photo: a file, a picture of Pillow in any mode, or (h, w), (h, w, 3) or (h, w, 4) uint8 or
            float in [0, 1].
        mask: the same, with the proportions of the *upright* photo, whose transparency, or else
            brightness, says where the object is; it is resized to the photo.

    Returns:
        The picture, and the mask (h, w) uint8 or None.

    Raises:
        InputError: not a picture, damaged, too large or small, fully transparent, or a mask of
            another shape; one sentence with what to do.
    """
    found, name = _read(photo, "photo")
    if found.alpha is not None and not found.alpha.any():
        raise InputError(f"{name} is fully transparent: expected a picture with something in it")
    if mask is None:
        return found, None
    grey, notes = _read_mask(mask, found)
    return replace(found, notes=(*found.notes, *notes)), grey


def _read(source: Path | Picture, what: str) -> tuple[Decoded, str]:
    """The picture, and its name for messages."""
    from PIL import Image

    from img2mesh.io import pixel_modes

    if isinstance(source, Path):
        return decode(source, longest=LONGEST_SIDE, labels=what == "mask"), _name(source)
    if not isinstance(source, Image.Image):
        given = np.asarray(source)
        if given.ndim != 2 and given.shape[2:] not in ((3,), (4,)):
            raise InputError(
                f"the {what} must be an array (h, w), (h, w, 3) or (h, w, 4), got {given.shape}"
            )
        floats = unit_floats(given, f"the {what}")
        source = Image.fromarray(np.round(floats * 255).astype(np.uint8))
    _check_size(source, Path(what))
    notes, longest = _reduced(source.size, LONGEST_SIDE), max(source.size)
    _load(source)
    rgb, alpha, more = pixel_modes.to_srgb(source, longest=LONGEST_SIDE)
    turn = pixel_modes.orientation_of(source)
    lossy, reduction = source.format in _LOSSY, longest / max(rgb.shape[:2])
    return Decoded(rgb, alpha, (*notes, *more), lossy, reduction, turn), f"the {what}"


def _read_mask(mask: Path | Picture, photo: Decoded) -> tuple[U8, tuple[str, ...]]:
    """(h, w) uint8 like the photo, and notes: see :mod:`img2mesh.io.masks`."""
    from PIL import Image

    from img2mesh.io import masks, pixel_modes

    picture, name = _read(mask, "mask")
    name = f"the mask {name}" if isinstance(mask, Path) else name
    grey, notes = masks.object_mask(picture.rgb, picture.alpha)
    height, width = photo.rgb.shape[:2]
    turn = pixel_modes.UPRIGHT.get(photo.orientation) if picture.orientation == 1 else None

    def fitted(grey: U8) -> U8 | None:
        h, w = grey.shape
        # Equal shapes up to one pixel of rounding on the smaller picture.
        if abs(w * height - h * width) > max(width, height, w, h):
            return None
        if (w, h) == (width, height):
            return grey
        return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR))

    given = fitted(grey)
    turned = None if turn is None else fitted(np.asarray(Image.fromarray(grey).transpose(turn)))
    if given is not None and turned is not None:
        given, more = masks.upright(photo.rgb, given, turned)
        return given, (*notes, *more)
    if given is not None:
        return given, notes
    if turned is not None:
        return turned, (*notes, masks.STORED)
    raise InputError(
        f"{name} is {grey.shape[1]}x{grey.shape[0]} but the upright photo is {width}x{height}: "
        "expected the same proportions, so make the mask on the photo itself"
    )


def decode(path: Path, *, longest: int | None = None, labels: bool = False) -> Decoded:
    """Any picture file, upright and in sRGB.

    Args:
        path: the file.
        longest: limit for the longest side in pixels.
        labels: it is a mask: small numbers in 16 or 32 bits are labels, and shown in white.

    Raises:
        InputError: every way to fail, in one sentence.
    """
    from img2mesh.io import pixel_modes

    with _loading(path) as (image, file):
        size = image.size
        notes = () if longest is None else _shrink_while_decoding(image, longest)
        _load(image)
        if image.format == "TIFF":
            image = tiff.twelve_bits(image, file)
        if labels:
            image = pixel_modes.shown_labels(image)
        rgb, alpha, more = pixel_modes.to_srgb(image, longest=longest)
        turn = pixel_modes.orientation_of(image)
        lossy, reduction = image.format in _LOSSY, max(size) / max(rgb.shape[:2])
        if (size[0] > size[1]) != (rgb.shape[1] > rgb.shape[0]):  # it was stored lying
            size = size[::-1]
        return Decoded(rgb, alpha, (*notes, *more), lossy, reduction, turn, size)


def read_stored(path: Path) -> NDArray[Any]:
    """A grey picture's stored numbers (h, w), unconverted: 16 bits stay 16 bits.

    Raises:
        InputError: not a grey picture, or any of the ways in which :func:`decode` fails.
    """
    with _loading(path) as (image, _):
        if image.mode not in ("I", "I;16", "I;16B", "L"):
            raise InputError(f"{path.name} must be a 16-bit grey PNG, got mode {image.mode}")
        _load(image)
        return np.asarray(image)


def _load(image: Image.Image) -> None:
    """Decode it; what libtiff has to say of a damaged file is said by us, in a sentence."""
    with muted(2) if image.format == "TIFF" else contextlib.nullcontext():
        image.load()


@contextlib.contextmanager
def _loading(path: Path) -> Iterator[tuple[Image.Image, io.BufferedReader]]:
    """The identified picture; whatever its decoder stumbles over becomes an InputError."""
    with opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow: odd metadata is no news to the user
        image = _identify(file, path)
        try:
            yield image, file
        except InputError:
            raise
        except MemoryError as error:
            raise InputError(
                f"{_name(path)} does not fit into memory: make it smaller and try again"
            ) from error
        # Decoders raise whatever the damaged byte made them stumble over: OSError, SyntaxError,
        # struct.error, zlib.error, EOFError, ValueError, IndexError, ...
        except Exception as error:
            raise InputError(
                f"{_name(path)} is damaged or cut short ({cause_of(error)}): "
                "save or download it again"
            ) from error


def _identify(file: io.BufferedReader, path: Path) -> Image.Image:
    """The picture with its header read and its size found acceptable; nothing decoded yet."""
    from PIL import Image, UnidentifiedImageError

    head = file.read(32)
    file.seek(0)
    if not head:
        raise InputError(f"{_name(path)} is empty (0 bytes): expected {EXPECTED}")
    formats = list(FORMATS)
    if head[4:8] == b"ftyp" and head[8:12] in _PRODUCT_OF_HEIF:
        formats = [_register_heif()]
    try:
        image: Image.Image = Image.open(file, formats=formats)
        if image.format == "TIFF":
            image = tiff.largest_page(image, file, _name(path))
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))  # Pillow tells the pixels, not the sides
        millions = f"{int(count[0]) // 10**6} million" if count else "too many"
        raise InputError(
            f"{_name(path)} has {millions} pixels, more than the {MAX_PIXELS // 10**6} million "
            "allowed: make it smaller and try again"
        ) from error
    except UnidentifiedImageError as error:
        file.seek(0)
        if known := foreign_formats.described(file.read(1024)):
            raise InputError(f"{_name(path)} is {known[0]}: {known[1]}") from error
        raise InputError(
            f"{_name(path)} is not a picture that can be read (or is damaged): expected {EXPECTED}"
        ) from error
    except Exception as error:  # a damaged header; see _loading
        raise InputError(
            f"{_name(path)} is damaged ({cause_of(error)}): save or download it again"
        ) from error
    _check_size(image, path)
    if image.format in ("JPEG", "MPO") and (scans := jpeg_scans(file)) > MAX_SCANS:
        raise InputError(
            f"{_name(path)} is a JPEG of {scans} scans, more than the {MAX_SCANS} allowed: "
            "save it again as an ordinary JPEG or PNG"
        )
    return image


def _register_heif() -> str:
    try:
        import pillow_heif
    except ImportError:
        raise missing_extra("pillow_heif", extra="heic", purpose="opening HEIC pictures") from None
    pillow_heif.register_heif_opener()
    return "HEIF"


def _check_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    limit = {
        "JPEG": MAX_PIXELS_JPEG,
        "MPO": MAX_PIXELS_JPEG,
        "WEBP": MAX_PIXELS_WEBP,
        "AVIF": MAX_PIXELS_WEBP,
    }.get(image.format or "", MAX_PIXELS)
    shown = f"{_name(path)} is {width}x{height} pixels"
    if width * height > limit:
        raise InputError(
            f"{shown}, more than the {limit // 10**6} million allowed: "
            "make it smaller and try again"
        )
    if min(width, height) < SHORTEST_SIDE:
        raise InputError(
            f"{shown}, too small to make out an object: expected at least "
            f"{SHORTEST_SIDE} pixels each way"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(f"{shown}, a strip: crop it around the object and try again")


def _shrink_while_decoding(image: Image.Image, most: int) -> tuple[str, ...]:
    """Let JPEG decode at a fraction of its size; say so for any picture that will be reduced."""
    width, height = image.size
    scale = most / max(width, height)
    if scale < 1 and image.format in ("JPEG", "MPO"):
        # Never below the final size: the decoder picks a fraction of 2, 4 or 8.
        image.draft(None, (max(1, int(width * scale)), max(1, int(height * scale))))
    return _reduced((width, height), most)


def _reduced(size: tuple[int, int], most: int) -> tuple[str, ...]:
    if max(size) <= most:
        return ()
    return (f"reduced from {size[0]}x{size[1]} to {most} pixels on the longest side",)


def opened(path: Path) -> io.BufferedReader:
    """A regular file, open for reading; every way to fail is an InputError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{_name(path)} is a folder where a picture file was expected")
        if not stat.S_ISREG(mode):
            raise InputError(
                f"{_name(path)} is not a regular file: expected {EXPECTED}; a pipe is read as `-`"
            )
        return Whole(path.open("rb", buffering=0))
    except FileNotFoundError as error:
        refuse_address(str(path))
        raise InputError(
            f"there is no file {_name(path)} here: check the name and the folder"
        ) from error
    except PermissionError as error:
        raise InputError(
            f"{_name(path)} may not be read: give yourself permission (chmod +r) or copy it"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{_name(path)} cannot be read: {cause_of(error)}") from error


def _name(path: Path) -> str:
    """The path as messages show it: quoted, control characters escaped, Unicode kept."""
    text = str(path)
    return repr(text if len(text) <= 160 else f"{text[:60]}...{text[-60:]}")


def cause_of(error: BaseException) -> str:
    """The library's words in short, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120]
