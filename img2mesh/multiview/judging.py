"""A generator as a judge of renders, for score distillation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from img2mesh.artifacts import Provenance
from img2mesh.diffusion import checkpoints
from img2mesh.errors import InputError
from img2mesh.multiview.sampling import Sampling

if TYPE_CHECKING:
    import torch

    from img2mesh.diffusion.distillation import Denoiser


@dataclass(frozen=True)
class Judge:
    """A loaded generator that says how likely a render is.

    Attributes:
        denoiser: its noise prediction.
        provenance: of what is made with it.
        device: where it works.
        identity: of its weights.
    """

    denoiser: Denoiser
    provenance: Provenance
    device: torch.device
    identity: str


def require_judge(generator: str) -> None:
    """Refuse a generator that does not know any camera, before any work.

    Raises:
        InputError: says which do.
    """
    able = ", ".join(c.name for c in checkpoints.TABLE.values() if c.family == "zero123")
    known = generator not in ("learned", "geometric") and not generator.endswith(".safetensors")
    if not known or checkpoints.family_of(generator) != "zero123":
        raise InputError(
            f"{generator} draws fixed views and cannot judge others, which distillation needs: "
            f"choose --generator {able}, or a checkpoint of that kind"
        )
    checkpoints.locate(generator)


def judge(generator: str, *, sampling: Sampling) -> Judge:
    """Load a generator as a judge.

    Raises:
        InputError: it cannot judge, or is not on this machine.
    """
    require_judge(generator)
    from img2mesh.multiview.zero123.denoiser import Zero123Denoiser
    from img2mesh.multiview.zero123.views import load

    model = load(generator, sampling)
    record = checkpoints.locate(generator).record
    place = Path(generator)
    return Judge(
        Zero123Denoiser(model),
        Provenance(
            generator=place.name if place.exists() else generator,
            learned_weights=True,
            exact=True,  # renders of one body
            licences=(record.licence,),
            notes=(record.note,) if record.note else (),
        ),
        model.device,
        checkpoints.identity(generator),
    )
