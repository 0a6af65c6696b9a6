"""The space in which the network thinks: columns of depth behind the pixels of the frame.

Frame units and camera are those of :mod:`img2mesh.multiview.geometric.outline`: the frame spans
[-1, 1] x [-1, 1] in the plane z = 0, seen from z = DISTANCE. A column is the viewing ray through a
cell of a COLUMNS x COLUMNS grid over the frame, cut into SLICES slices, nearest first, whose
centres lie at ``slice_depths()``. The body is moved in depth so that the mean *visible* depth is
at z = FRONT: what nobody sees must not move what everybody sees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Side of the picture the network sees, in pixels.
PIXELS = 128
#: Columns along the side of the frame.
COLUMNS = 64
#: Slices of a column, a multiple of 8.
SLICES = 48
#: z of the column's two ends is +REACH and -REACH, in frame units.
REACH = 1.4
#: z of the mean visible depth.
FRONT = 0.497
#: Longest side of the object as a share of the frame.
FILL = 0.85


def slice_depths() -> NDArray[np.float64]:
    """(SLICES,) z of the slices' centres, falling."""
    return REACH * (1 - (2 * np.arange(SLICES) + 1) / SLICES)
