"""Lengths as people write them: ``height=9cm``."""

from __future__ import annotations

import math
import re
from typing import Literal

from img2mesh.errors import InputError

Unit = Literal["m", "cm", "mm"]
#: Metres in one of each.
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
#: Which extent is meant: of the asset frame's x, y, z, or the largest.
EXTENTS = {"width": 0, "height": 1, "depth": 2, "longest": None}

_SIZE = re.compile(r"\s*(\w+)\s*=\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(m|cm|mm|in)?\s*", re.IGNORECASE)


def parse_size(text: str) -> tuple[int | None, float]:
    """The axis of the extent (None: the longest) and its length in metres.

    Raises:
        InputError: not of the form ``height=9cm``, or no positive length.
    """
    found = _SIZE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        axis = EXTENTS[found[1].lower()]
        length = float(found[2]) * METRES[(found[3] or "m").lower()]
        if not (math.isfinite(length) and length > 0):
            raise ValueError
    except (ValueError, KeyError):
        raise InputError(
            f"a size is written as height=9cm ({', '.join(EXTENTS)}; {', '.join(METRES)}), "
            f"got {text!r}"
        ) from None
    return axis, length
