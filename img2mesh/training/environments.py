"""Random environments for those who have no folder of light probes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.training.light import probe

_HEIGHT = 16


def procedural_probe(rng: np.random.Generator) -> NDArray[np.float32]:
    """(9, 3) diffuse light of a sky, a ground and one to four soft lamps at random places.

    As :func:`img2mesh.training.light.probe` gives it: 1 on average over all directions.
    """
    width = 2 * _HEIGHT
    polar = (np.arange(_HEIGHT) + 0.5) / _HEIGHT * np.pi
    turn = (np.arange(width) + 0.5) / width * 2 * np.pi
    direction = np.stack(
        [
            np.sin(polar)[:, None] * np.sin(turn),
            np.broadcast_to(np.cos(polar)[:, None], (_HEIGHT, width)),
            np.sin(polar)[:, None] * np.cos(turn),
        ],
        axis=-1,
    )
    sky, ground = rng.uniform(0.5, 1.2, 3), rng.uniform(0.1, 0.6, 3)
    up = 1 / (1 + np.exp(-6 * direction[..., 1:2]))
    panorama = sky * up + ground * (1 - up)
    for _ in range(rng.integers(1, 5)):
        towards = rng.normal(size=3) + np.array([0, 0.7, 0])
        towards /= np.linalg.norm(towards)
        tint = 1 + rng.uniform(-0.25, 0.25, 3)
        lobe = np.exp(rng.uniform(3, 20) * (direction @ towards - 1))
        panorama = panorama + rng.uniform(1, 8) * lobe[..., None] * tint
    return probe(panorama.astype(np.float32)).numpy()
