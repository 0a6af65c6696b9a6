"""Views drawn again one at a time by a text-to-image model: detail of its own, on their places.

A generator that predicts velocities draws all views at once and gets the large right; a model that
predicts noise, at low strength, then sharpens each of them. Outlines, cameras and order stay: only
colours inside the outline are taken over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from img2mesh.artifacts import ViewSet
from img2mesh.core.arrays import F32
from img2mesh.diffusion import pictures
from img2mesh.imaging.colour import over
from img2mesh.imaging.fill import continue_colours
from img2mesh.multiview.sampling import Progress, Sampling

#: Denoising steps for a whole picture, where none are asked for; a strength takes its share.
_STEPS = 50
#: Pixels of less opacity take their colour from their neighbours.
_SURE = 0.9


@dataclass(frozen=True)
class Refiner:
    """What draws the views again.

    Attributes:
        model: a text-to-image model by name or folder; None draws nothing again.
        strength: share of the denoising that is done again, in [0, 1]; 0 changes nothing.
        prompt: what the views show; may be empty.
    """

    model: str | None = None
    strength: float = 0.0
    prompt: str = ""

    def steps(self, sampling: Sampling) -> int:
        """Denoising steps of a whole picture."""
        return _STEPS if sampling.steps is None else sampling.steps

    def idle(self, sampling: Sampling) -> bool:
        """Whether nothing would change."""
        return self.model is None or not pictures.visited_steps(self.steps(sampling), self.strength)


class Redraw(Protocol):
    """Draws one picture again: (h, w, 3) float32 in [0, 1] to the same."""

    def __call__(self, picture: F32, number: int, /) -> F32:
        """``number`` counts the views."""


def redrawn(views: ViewSet, redraw: Redraw) -> ViewSet:
    """The same views with the colours that ``redraw`` gives them on white.

    Args:
        views: any posed views.
        redraw: called once a view, in order.
    """
    drawn = []
    for number, view in enumerate(views.views):
        shown = over(view.rgb, view.alpha, (1.0, 1.0, 1.0)).astype(np.float32)
        picture = np.clip(redraw(shown, number), 0, 1).astype(np.float32)
        drawn.append(continue_colours(picture, view.alpha, above=_SURE))
    return replace(views, rgb=np.stack(drawn))


def refine(
    views: ViewSet, refiner: Refiner, *, sampling: Sampling, progress: Progress | None = None
) -> ViewSet:
    """Draw every view again, with the same noise for all, so that they change alike.

    Args:
        views: of any generator.
        refiner: what draws, and how much.
        sampling: steps, guidance, seed, and where.
        progress: told the fraction done.

    Returns:
        The views themselves where nothing is to be done.

    Raises:
        InputError: no such model, or it draws no pictures.
    """
    if refiner.model is None or refiner.idle(sampling):
        return views
    from img2mesh.diffusion.place import pick_device, pick_dtype

    tell, count = progress or (lambda fraction: None), len(views)
    record = pictures.require(refiner.model, purpose="--refiner")
    device = pick_device(sampling.device)
    wish = pictures.Wish(
        refiner.prompt, "", refiner.steps(sampling), sampling.guidance_scale, sampling.seed
    )
    with pictures.model_of(
        refiner.model, "picture", device=device, dtype=pick_dtype(device),
        low_memory=sampling.low_vram,
    ) as model:  # fmt: skip

        def redraw(picture: F32, number: int) -> F32:
            return model.redraw(
                picture, wish, strength=refiner.strength,
                progress=lambda done: tell((number + done) / count),
            )  # fmt: skip

        fine = redrawn(views, redraw)
    source = views.provenance
    note = f"each view was drawn again by {record.name}, strength {refiner.strength:g}"
    licences = tuple(dict.fromkeys((*source.licences, record.licence)))
    return replace(
        fine,
        provenance=replace(
            source, learned_weights=True, exact=False, licences=licences,
            notes=(*source.notes, note),
        ),
    )  # fmt: skip
