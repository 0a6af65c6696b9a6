"""What all trainers of the published generators take, and the plan it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2mesh.training.diffusion.loop import Plan


@dataclass(frozen=True)
class Options:
    """What all three commands take.

    Attributes:
        steps, batch, accumulate: of the run, a micro-batch and process, micro-batches a step.
        rate, warmup: the recipe's where None.
        averaging: decay of the moving average that is exported.
        drop: probability that the condition is left out.
        seed: decides every chance.
        save_every, sample_every: steps.
        sample_steps: denoising steps of a sample.
        readers: threads that read samples.
        checkpointing: recompute activations in the backward pass.
        full_precision: float32 also where the processor computes in bfloat16.
        resume: go on with the run that is there.
    """

    steps: int
    batch: int = 1
    accumulate: int = 1
    rate: float | None = None
    warmup: int | None = None
    averaging: float = 0.9999
    drop: float = 0.1
    seed: int = 0
    save_every: int = 500
    sample_every: int = 0
    sample_steps: int = 28
    readers: int = 4
    checkpointing: bool = False
    full_precision: bool = False
    resume: bool = False

    def plan(self, rate: Any) -> Plan:
        """The plan with a recipe's rate, or the user's own.

        Raises:
            InputError: see :func:`img2mesh.training.diffusion.rates.checked`.
        """
        from img2mesh.training.diffusion import rates
        from img2mesh.training.diffusion.loop import Plan

        return Plan(
            self.steps,
            rates.checked(rate, peak=self.rate, warmup=self.warmup),
            batch=self.batch,
            accumulate=self.accumulate,
            averaging=self.averaging,
            seed=self.seed,
            save_every=self.save_every,
            sample_every=self.sample_every,
            readers=self.readers,
            bfloat16=False if self.full_precision else None,
        )
