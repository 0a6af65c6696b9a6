"""Lengths as people write them: ``height=9cm``."""

from __future__ import annotations

import re
from typing import Literal

from img2mesh.errors import InputError

Unit = Literal["m", "cm", "mm"]
#: Metres in one of each.
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
#: Which extent is meant: of the asset frame's x, y, z, or the largest.
EXTENTS = {"width": 0, "height": 1, "depth": 2, "longest": None}

#: Metres that an asset may measure, as its scale may.
_LEAST, _MOST = 1e-6, 1e6

_SIZE = re.compile(r"\s*(\w+)\s*=\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(m|cm|mm|in)?\s*", re.IGNORECASE)


def parse_size(text: str) -> tuple[int | None, float]:
    """The axis of the extent (None: the longest) and its length in metres.

    Raises:
        InputError: not of the form ``height=9cm``, or no length of a thing.
    """
    found = _SIZE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        axis = EXTENTS[found[1].lower()]
        length = float(found[2]) * METRES[(found[3] or "m").lower()]
        if not _LEAST <= length <= _MOST:
            raise ValueError
    except (ValueError, KeyError):
        raise InputError(
            f"a size is written as height=9cm ({', '.join(EXTENTS)}; {', '.join(METRES)}; "
            f"{_LEAST:g} to {_MOST:g} m), got {text!r}"
        ) from None
    return axis, length
