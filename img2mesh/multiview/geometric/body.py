"""What the prior's three makers hand over: a closed solid and how to paint it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.multiview.geometric.solid import Solid

#: What users can ask for; ``auto`` picks by the outline, ``learned`` is the network's.
BodyKind = Literal["auto", "lathe", "box", "inflation", "learned"]
#: Surface points (n, 3) and unit normals (n, 3) in the prior's world -> colours (n, 3).
Paint = Callable[[NDArray[np.floating], NDArray[np.floating]], F32]


@dataclass(frozen=True)
class Body:
    """A painted solid, in the prior's world, where the frame is the plane z = 0 or tilted by it.

    Attributes:
        kind: ``lathe``, ``box``, ``inflation`` or ``learned``.
        solid: the surface.
        paint: colours of surface points.
        camera: the camera assumed to have taken the cutout, at the cutout's size.
        notes: sentences for the user.
    """

    kind: str
    solid: Solid
    paint: Paint
    camera: Camera
    notes: tuple[str, ...] = ()
