"""Which regions are not background: boundary connectivity over superpixels.

Zhu, Liang, Wei, Sun, "Saliency Optimization from Robust Background Detection" (CVPR 2014): a
region is background as far as the region it flows into lies along the frame; contrast to such
regions makes foreground; one least-squares system makes the result smooth.
"""

from __future__ import annotations

import numpy as np

from img2mesh.core.arrays import F32, F64

_SUPERPIXELS = 350
_COMPACTNESS = 12.0
#: Ibid.: sigma_clr (eq. 2), sigma_bndCon (eq. 4), sigma_spa (eq. 5), sigma of the smoothness term
#: and its constant (sec. 5), in CIE Lab units and shares of the picture.
_SIGMA_FLOW, _SIGMA_BOUNDARY, _SIGMA_SPACE, _SIGMA_SMOOTH, _MU = 10.0, 1.0, 0.25, 10.0, 0.1


def saliency(lab: F32) -> F32:
    """How much each pixel stands out from what touches the frame.

    Args:
        lab: (h, w, 3) float32 CIE Lab, about 256 pixels on the longest side.

    Returns:
        (h, w) float32 in [0, 1].
    """
    from scipy.sparse.csgraph import dijkstra
    from skimage.segmentation import slic

    h, w = lab.shape[:2]
    labels = slic(
        lab,
        n_segments=_SUPERPIXELS,
        compactness=_COMPACTNESS,
        convert2lab=False,
        start_label=0,
        channel_axis=-1,
        enforce_connectivity=True,
    )
    n = int(labels.max()) + 1
    count = np.bincount(labels.ravel(), minlength=n).astype(np.float64)
    yy, xx = np.mgrid[0:h, 0:w]

    def mean(plane: F32) -> F64:
        return np.bincount(labels.ravel(), plane.ravel(), n) / count

    colour = np.stack([mean(lab[..., i]) for i in range(3)], axis=-1)
    place = np.stack([mean(xx / w), mean(yy / h)], axis=-1)
    contrast = np.linalg.norm(colour[:, None] - colour[None], axis=-1)
    neighbours = np.zeros((n, n), bool)
    for a, b in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        neighbours[a, b] = neighbours[b, a] = True
    np.fill_diagonal(neighbours, False)
    frame = np.zeros(n, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        frame[edge] = True
    joined = neighbours | (frame[:, None] & frame[None])
    np.fill_diagonal(joined, False)

    # Steps below the typical smallest one are noise within a region (the authors' code does so).
    steps = np.where(neighbours, contrast, np.inf).min(1)
    clip = float(np.mean(steps))
    weights = np.where(joined, np.maximum(contrast - clip, 0) + 1e-6, 0)
    flow = dijkstra(weights, directed=False)
    reach = np.exp(-(flow**2) / (2 * _SIGMA_FLOW**2))
    along_frame = reach[:, frame].sum(1)
    connectivity = along_frame / np.sqrt(reach.sum(1))
    background = 1 - np.exp(-(connectivity**2) / (2 * _SIGMA_BOUNDARY**2))
    apart = ((place[:, None] - place[None]) ** 2).sum(-1)
    near = np.exp(-apart / (2 * _SIGMA_SPACE**2))
    foreground = (contrast * near * background[None]).sum(1)
    foreground = (foreground - foreground.min()) / max(float(np.ptp(foreground)), 1e-9)
    foreground[background > 0.95] *= 0.2

    smooth = np.where(joined, np.exp(-(contrast**2) / (2 * _SIGMA_SMOOTH**2)) + _MU, 0)
    system = np.diag(smooth.sum(1)) - smooth + np.diag(5 * background + foreground)
    solved = np.linalg.solve(system, foreground)
    solved = (solved - solved.min()) / max(float(np.ptp(solved)), 1e-9)
    return solved[labels].astype(np.float32)
