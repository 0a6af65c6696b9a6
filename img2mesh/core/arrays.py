"""The arrays every room speaks of: short type names, and the fields of frozen values.

A field is converted, checked and made read-only when the value is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from img2mesh.errors import InputError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]

#: Values of ``TexturedMesh.coverage``.
OUTSIDE, UNSEEN, SEEN_IN_VIEWS, SEEN_IN_PHOTO = 0, 1, 2, 3


def frozen_array(owner: object, name: str, dtype: type, *shape: int | None) -> Any:
    """Convert a field to a read-only array of the dtype and check its shape (None = any)."""
    array: NDArray[Any] = np.ascontiguousarray(getattr(owner, name), dtype=dtype)
    if array.ndim != len(shape) or any(
        want not in (None, got) for want, got in zip(shape, array.shape, strict=True)
    ):
        expected = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
        raise InputError(
            f"{type(owner).__name__}.{name} must have shape {expected}, got {array.shape}"
        )
    if array is getattr(owner, name) and array.flags.writeable:
        array = array.copy()
    array.setflags(write=False)
    object.__setattr__(owner, name, array)
    return array


def unit_floats(array: ArrayLike, name: str) -> F32:
    """float32 in [0, 1]: booleans are 0 and 1, integers span their type, floats stay.

    Raises:
        InputError: neither, or floats outside [0, 1] or not finite.
    """
    given = np.asarray(array)
    if given.dtype.kind == "u" or given.dtype == np.bool_:
        most = 1 if given.dtype == np.bool_ else np.iinfo(given.dtype).max
        return given.astype(np.float32) / np.float32(most)
    if given.dtype.kind != "f":
        raise InputError(f"{name} must be uint8, or float in [0, 1], got {given.dtype}")
    if given.size and not (given.min() >= 0 and given.max() <= 1):  # also catches NaN
        raise InputError(f"{name} must lie in [0, 1] and be finite; divide 8-bit colours by 255")
    return given.astype(np.float32)


def require_unit(owner: object, *names: str) -> None:
    """Raise InputError unless the arrays lie in [0, 1] and are finite."""
    for name in names:
        array = getattr(owner, name)
        if array.size and not (array.min() >= 0 and array.max() <= 1):  # also catches NaN
            raise InputError(f"{type(owner).__name__}.{name} must lie in [0, 1] and be finite")
