"""Files that are no picture of ours, known by their first bytes, each with the way out."""

from __future__ import annotations

_PNG = "export it as PNG"
_RAW = "a raw file of a camera", "develop it to JPEG or TIFF"
_VIDEO = "export one frame as PNG"
_MESH = "give a picture of the object"
_UNPACK = "unpack it and name the pictures"
#: What a file begins with → what it is, and what to do.
_BEGINNINGS = (
    (b"%PDF", "a PDF document", f"{_PNG}, one page a picture"),
    (b"%!PS", "a PostScript drawing (EPS)", f"{_PNG}, 1024 pixels or more on its longest side"),
    (b"8BPS", "a Photoshop document (PSD)", _PNG),
    (b"gimp xcf", "a GIMP document (XCF)", _PNG),
    (b"\xff\x0a", "a JPEG XL picture", "convert it to PNG or JPEG"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", "convert it to PNG or JPEG"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", "convert it to PNG or JPEG"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", "convert it to PNG or JPEG"),
    (b"II\xbc", "a JPEG XR picture", "convert it to PNG or JPEG"),
    (b"v/1\x01", "an OpenEXR picture", "save it as 8-bit or 16-bit PNG"),
    (b"#?RADIANCE", "a Radiance HDR picture", "save it as PNG or JPEG"),
    (b"PF\n", "a float map (PFM)", "save it as PNG"),
    (b"qoif", "a QOI picture", "convert it to PNG"),
    (b"icns", "an icon (ICNS)", _PNG),
    (b"DDS ", "a DDS texture", _PNG),
    (b"\xabKTX", "a KTX texture", _PNG),
    (b"\0\0\1\0", "an icon (ICO)", _PNG),
    (b"AT&TFORM", "a DjVu document", f"{_PNG}, one page a picture"),
    (b"SIMPLE  =", "a FITS picture", _PNG),
    (b"FUJIFILMCCD-RAW", *_RAW),
    (b"II*\0\x10\0\0\0CR", *_RAW),
    (b"IIRO", *_RAW),
    (b"IIRS", *_RAW),
    (b"IIU\0", *_RAW),
    (b"FOVb", *_RAW),
    (b"glTF", "a mesh (GLB)", _MESH),
    (b"Kaydara FBX", "a mesh (FBX)", _MESH),
    (b"BLENDER", "a scene of Blender", "render a picture of it"),
    (b"solid ", "a mesh (STL)", _MESH),
    (b"ply\n", "a mesh (PLY)", _MESH),
    (b"\x93NUMPY", "an array of NumPy", "save it as PNG, or give it to img2mesh.reconstruct"),
    (b"PK\3\4", "a ZIP archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"\x1f\x8b", "a packed file (gzip)", _UNPACK),
    (b"\x1a\x45\xdf\xa3", "a video (WebM or Matroska)", _VIDEO),
    (b"\0\0\1\xba", "a video (MPEG)", _VIDEO),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file with `git lfs pull`"),
)  # fmt: skip
#: Netpbm's formats begin with one of these and a blank.
_NETPBM = tuple(b"P%d" % k for k in range(1, 8))
#: Kinds of ISO media (``ftyp``) that are videos.
_VIDEOS = (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"qt  ",
           b"M4V ", b"3gp4", b"3gp5", b"dash", b"MSNV")  # fmt: skip


def described(head: bytes) -> tuple[str, str] | None:
    """What a file is and the way out, or None where it is not known.

    Args:
        head: its first bytes; 32 tell most, but DICOM begins at 128, and SVG and HTML may begin
            with comments.
    """
    for beginning, what, way in _BEGINNINGS:
        if head.startswith(beginning):
            return what, way
    if head[:2] in _NETPBM and head[2:3].isspace():
        return "a Netpbm picture (PPM, PGM or PBM)", "convert it to PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "a video (AVI)", _VIDEO
    if head[4:8] == b"ftyp" and head[8:12] in _VIDEOS:
        return "a video", _VIDEO
    if head[4:8] == b"ftyp" and head[8:12] == b"crx ":
        return _RAW
    if head[128:132] == b"DICM":
        return "a DICOM picture", _PNG
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text or (text.startswith(b"<?xml") and b"svg" in text):
        return "an SVG drawing", f"{_PNG}, 1024 pixels or more on its longest side"
    if text.startswith(b"<!doctype html") or b"<html" in text:
        return "a web page", "download the picture itself"
    return None
