"""The switches that make sampling faster or smaller, each one alone and each one stated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from img2mesh.errors import InputError

CompileMode = Literal["default", "reduce-overhead", "max-autotune"]


@dataclass(frozen=True)
class Speed:
    """How a sampling run is carried out.

    What no switch is needed for, because nothing speaks against it: torch's attention kernel; keys
    and values of the reference instead of its tokens; keys and values of the prompt context and
    the embedding of the control picture once a run; the write pass ends with its last store;
    layers before the first attention once for both guidance branches; pictures decoded one at a
    time. All exact up to the rounding of reordered sums: the final latents change by less than
    2e-5 of their largest value against ``plain`` (tests/diffusion/test_speed.py).

    Attributes:
        plain: none of that, only the algorithm: the baseline of parity tests and benchmarks.
        low_memory: parts of the model are on the device only while they work, and the guidance
            branches run one after the other: half the activations. As exact.
        channels_last: memory layout of convolutions; helps tensor cores. As exact.
        compile: ``torch.compile`` mode of the U-Net and ControlNet; ``reduce-overhead`` uses CUDA
            graphs. As exact; does without what would leave the graph or make it look different
            in every run: the early end, the shared layers, what is kept of context and control.
        step_cache: recompute the deep levels of the network only every so many steps (DeepCache,
            arXiv 2312.00858); 1 is off. Changes the result.
    """

    plain: bool = False
    low_memory: bool = False
    channels_last: bool = False
    compile: CompileMode | None = None
    step_cache: int = 1

    def __post_init__(self) -> None:
        if self.step_cache < 1:
            raise InputError("step_cache counts steps and must be at least 1")
        if self.compile and self.step_cache > 1:
            raise InputError("compile takes whole passes; leave step_cache at 1 with it")
        if self.compile and self.low_memory:
            raise InputError("compile needs the network to stay on its device; not with low_memory")

    @property
    def shortcuts(self) -> bool:
        """Whether passes may end early, share layers, and keep context and control."""
        return not self.plain and self.compile is None
