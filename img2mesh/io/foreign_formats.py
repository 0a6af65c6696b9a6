"""Files that are no picture of ours, known by their first bytes, each with the way out."""

from __future__ import annotations

_PNG = "export it as PNG"
#: What a file begins with → what it is, and what to do.
_BEGINNINGS = (
    (b"%PDF", "a PDF document", f"{_PNG}, one page a picture"),
    (b"8BPS", "a Photoshop document (PSD)", _PNG),
    (b"gimp xcf", "a GIMP document (XCF)", _PNG),
    (b"\xff\x0a", "a JPEG XL picture", "convert it to PNG or JPEG"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", "convert it to PNG or JPEG"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", "convert it to PNG or JPEG"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", "convert it to PNG or JPEG"),
    (b"v/1\x01", "an OpenEXR picture", "save it as 8-bit or 16-bit PNG"),
    (b"#?RADIANCE", "a Radiance HDR picture", "save it as PNG or JPEG"),
    (b"DDS ", "a DDS texture", _PNG),
    (b"\xabKTX", "a KTX texture", _PNG),
    (b"\0\0\1\0", "an icon (ICO)", _PNG),
    (b"FUJIFILMCCD-RAW", "a raw file of a camera (RAF)", "develop it to JPEG or TIFF"),
    (b"glTF", "a mesh (GLB)", "give a picture of the object"),
    (b"PK\3\4", "a ZIP archive", "unpack it and name the pictures"),
    (b"\x1a\x45\xdf\xa3", "a video (WebM or Matroska)", "export one frame as PNG"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file with `git lfs pull`"),
)  # fmt: skip


def described(head: bytes) -> tuple[str, str] | None:
    """What a file is and the way out, or None where it is not known.

    Args:
        head: its first bytes; 32 tell all but SVG and HTML, which may begin with comments.
    """
    for beginning, what, way in _BEGINNINGS:
        if head.startswith(beginning):
            return what, way
    if head[4:8] == b"ftyp" and head[8:12] in (b"isom", b"iso2", b"mp41", b"mp42", b"qt  "):
        return "a video", "export one frame as PNG"
    if head[4:8] == b"ftyp" and head[8:12] == b"crx ":
        return "a raw file of a camera (CR3)", "develop it to JPEG or TIFF"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text or (text.startswith(b"<?xml") and b"svg" in text):
        return "an SVG drawing", f"{_PNG}, 1024 pixels or more on its longest side"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page", "download the picture itself"
    return None
