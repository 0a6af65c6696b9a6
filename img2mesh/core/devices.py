"""Whether a device is on this machine, without the seconds that loading torch takes.

Refuses only what is certain: a torch built without CUDA, or no driver that answers. Everything else
is torch's to say.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path

from img2mesh.errors import InputError

_USE = "use auto or cpu"


def require_device(name: str) -> None:
    """Find out before the work that a device cannot be computed on.

    Raises:
        InputError: it is not on this machine, or torch was built without it.
    """
    kind, _, number = name.partition(":")
    if kind == "mps" and not (sys.platform == "darwin" and platform.machine() == "arm64"):
        raise InputError(f"device {name!r} is Apple silicon's alone: {_USE}")
    if kind != "cuda":
        return
    if number and not number.isdecimal():
        raise InputError(f"unknown device {name!r}; use cuda, or cuda:N with a GPU's number")
    built = _built_for()
    if built == "":
        raise InputError(f"device {name!r} was asked for, but torch is built for the CPU: {_USE}")
    if built == "hip":
        return
    count = gpus()
    if count == 0:
        raise InputError(f"device {name!r} was asked for, but there is no GPU here: {_USE}")
    if count is not None and number and int(number) >= count:
        raise InputError(f"device {name!r} was asked for, but there are {count} GPUs here: {_USE}")


def with_doubles(device: str, note: Callable[[str], None]) -> str:
    """The device itself, or the CPU instead of one that has no double precision, which is told."""
    if device != "mps":
        return device
    note("this stage needs double precision, which Apple's GPUs lack: it ran on the CPU")
    return "cpu"


def _built_for() -> str | None:
    """``cuda``, ``hip`` or an empty text for neither, by torch's version file; None if unknown."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        text = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    told = {
        kind: re.search(rf"^{kind}\b[^=\n]*=\s*(\S+)", text, re.MULTILINE)
        for kind in ("cuda", "hip")
    }
    if told["cuda"] is None:
        return None
    return next((kind for kind, value in told.items() if value and value[1] != "None"), "")


def gpus() -> int | None:
    """NVIDIA devices that the driver counts, ``CUDA_VISIBLE_DEVICES`` obeyed; None if unknown."""
    try:
        if sys.platform == "win32":
            driver = ctypes.CDLL("nvcuda.dll")
        else:
            driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0:
        return 0
    return count.value if driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else None
