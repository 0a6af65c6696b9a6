"""What the network is asked for, and how far it is from that."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from img2mesh.multiview.learned.network import Guess, elevation_bins
from img2mesh.training.augment import Batch

#: Weights of the parts; the occupancy's cross-entropy has weight 1.
WEIGHTS = {"dice": 0.3, "side": 0.15, "normals": 0.05, "back": 0.1, "elevation": 0.06}
#: Logit of columns that hold nothing: they are cut at decoding anyway.
_NOTHING = -12.0


def losses(guess: Guess, batch: Batch) -> dict[str, Tensor]:
    """Every part, unweighted, and the weighted sum as ``loss``.

    Occupancy counts only in columns that hold anything: the outline is known. ``side`` compares
    the outlines of the volume seen from the side and from above, which averages of several
    possible bodies cannot satisfy.
    """
    mask = batch.mask
    logits = guess.occupancy.float()
    inside = logits.permute(0, 2, 3, 1)[mask]
    target = batch.occupied.permute(0, 2, 3, 1)[mask]
    parts = {"occupancy": F.binary_cross_entropy_with_logits(inside, target)}
    probability = torch.sigmoid(logits) * mask[:, None]
    both = (probability * batch.occupied).sum((1, 2, 3))
    total = probability.sum((1, 2, 3)) + batch.occupied.sum((1, 2, 3))
    parts["dice"] = (1 - (2 * both + 1) / (total + 1)).mean()
    bounded = logits.masked_fill(~mask[:, None], _NOTHING)
    parts["side"] = sum(
        F.binary_cross_entropy_with_logits(bounded.amax(axis), batch.occupied.amax(axis))
        for axis in (2, 3)
    )  # type: ignore[assignment]
    seen = mask & (batch.normals.norm(dim=1) > 0.3)
    normals = guess.normals.float().permute(0, 2, 3, 1)[seen]
    truth = batch.normals.permute(0, 2, 3, 1)[seen]
    parts["normals"] = (1 - F.cosine_similarity(normals, truth, dim=1, eps=1e-3)).mean()
    colours = (guess.back.float() - batch.back).permute(0, 2, 3, 1)[mask]
    parts["back"] = colours.abs().mean()
    parts["elevation"] = F.cross_entropy(
        guess.elevation.float(), elevation_bins(batch.elevation_deg)
    )
    parts["loss"] = parts["occupancy"] + sum(w * parts[k] for k, w in WEIGHTS.items())
    return parts


def volume_iou(guess: Guess, batch: Batch) -> Tensor:
    """(b,) intersection over union of the thresholded columns with the truth."""
    mask = batch.mask[:, None]
    found = (guess.occupancy > 0) & mask
    truth = batch.occupied > 0.5
    return (found & truth).sum((1, 2, 3)) / (found | truth).sum((1, 2, 3)).clamp_min(1)
