"""Where an object stands: there it ends in a level cut, not in a rounded rim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, Mask
from img2mesh.imaging.masks import signed_distance
from img2mesh.multiview.geometric.outline import PIXELS, FrameSilhouette, resize

#: Feet end in the lowest part of the object: share of its height, room for hooves seen in
#: perspective and from above.
_LOWEST = 0.12
#: A foot's sole: the outline this near (share of the object) to the foot's lowest point.
_LEVEL = 0.015
#: Narrower soles (share of the object) are tips, not feet.
_NARROWEST = 0.02


@dataclass(frozen=True)
class GroundContact:
    """Where an outline touches the ground.

    Attributes:
        line: (PIXELS,) float64 frame height of the ground under each column, NaN = no foot.
        open_distance: (PIXELS, PIXELS) float32 signed distance of the outline with its feet
            prolonged downwards, so that a contact line is no border.
    """

    line: NDArray[np.float64]
    open_distance: F32

    def below(self, size: int) -> Mask:
        """(size, size) pixels under the contact lines and beside them in the same columns."""
        rows = 1 - (np.arange(size) + 0.5) * 2 / size
        columns = np.minimum((np.arange(size) + 0.5) * PIXELS / size, PIXELS - 1).astype(int)
        with np.errstate(invalid="ignore"):
            under: Mask = rows[:, None] < self.line[columns][None, :]
        return under

    def open_at(self, size: int) -> F32:
        """The open distance at another resolution."""
        return resize(self.open_distance, size)


def find(outline: FrameSilhouette) -> GroundContact | None:
    """Find the contact lines, or None where nothing stands (or the frame cuts the object off)."""
    mask = outline.mask
    size = mask.shape[0]
    columns = np.nonzero(mask.any(0))[0]
    rows = np.nonzero(mask.any(1))[0]
    if rows[-1] >= size - 2:
        return None
    tall, side = np.ptp(rows) + 1, outline.longest * size / 2
    lowest = np.full(size, -1)
    lowest[columns] = size - 1 - np.argmax(mask[::-1, columns], axis=0)
    line = np.full(size, np.nan)
    open_ = lowest >= rows[-1] - _LOWEST * tall
    while open_.any():
        at = int(np.argmax(np.where(open_, lowest, -1)))
        level = open_ & (lowest >= lowest[at] - max(_LEVEL * side, 1.5))
        first, last = at, at
        while first > 0 and level[first - 1]:
            first -= 1
        while last < size - 1 and level[last + 1]:
            last += 1
        if last - first + 1 >= _NARROWEST * side:
            line[first : last + 1] = 1 - (lowest[at] + 1) * 2 / size
        # The slope up from this sole belongs to the same foot.
        while first > 0 and open_[first - 1] and lowest[first - 1] <= lowest[first] + 2:
            first -= 1
        while last < size - 1 and open_[last + 1] and lowest[last + 1] <= lowest[last] + 2:
            last += 1
        open_[first : last + 1] = False
    if np.isnan(line).all():
        return None
    extra = size // 4
    longer = np.pad(mask, ((0, extra), (0, 0)))
    for c in np.nonzero(~np.isnan(line))[0]:
        longer[lowest[c] :, c] = True
    open_distance = signed_distance(longer)[:size] * 2 / size
    inside = outline.distance
    # Away from the soles the sub-pixel distance is the better one.
    same = np.abs(signed_distance(mask) * 2 / size - open_distance) < 0.5 / size
    return GroundContact(line, np.where(same, inside, open_distance).astype(np.float32))
