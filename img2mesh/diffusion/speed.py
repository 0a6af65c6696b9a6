"""The switches that make sampling faster or smaller, each one alone and each one stated.

``Speed()`` holds the exact ones; ``Speed.plain()`` switches everything off and is the baseline of
parity tests and benchmarks. Figures are the largest relative change of the final latents against
``plain()`` on the CPU in float32 with small random networks (tests/diffusion/test_speed.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from img2mesh.errors import InputError

CompileMode = Literal["default", "reduce-overhead", "max-autotune"]


@dataclass(frozen=True)
class Speed:
    """How a sampling run is carried out. Nothing here changes what is sampled unless it says so.

    Exact up to the rounding of reordered sums (< 2e-5):

    Attributes:
        fused_kernel: torch's scaled-dot-product kernel instead of a formed attention matrix.
        keep_reference_projected: the write pass stores keys and values, not tokens.
        keep_context: keys and values of the prompt context are computed once a run.
        early_exit: the write pass ends once the last self-attention has stored; bit-exact.
        share_prefix: what comes before the first attention is computed once for both guidance
            branches, whose inputs are equal up to there.
        keep_control_embedding: the control picture is embedded once a run; bit-exact.
        write_ahead: how many steps' write passes run as one batch. They depend on the condition
            and its noise alone, never on the latents. Costs memory: the stored tokens of that
            many steps.
        split_guidance: run the two guidance branches one after the other: half the activations.
        offload: parts of the model are on the device only while they work; bit-exact.
        vae_slicing: decode one picture at a time; bit-exact for one picture.
        channels_last: memory layout of convolutions; helps tensor cores.
        compile: ``torch.compile`` mode of the U-Net and ControlNet; ``reduce-overhead`` uses
            CUDA graphs. Turns off ``early_exit``, ``share_prefix`` and ``keep_context``, which
            leave the graph or make it look different in every run.

    Changes the result:

    Attributes:
        vae_tiling: decode in overlapping tiles; seams differ visibly in small pictures.
        step_cache: recompute the deep levels of the network only every so many steps
            (DeepCache, arXiv 2312.00858); 1 is off.
        reference_every: run the write pass only every so many steps, reading older, noisier
            reference tokens in between; 1 is off.
    """

    fused_kernel: bool = True
    keep_reference_projected: bool = True
    keep_context: bool = True
    early_exit: bool = True
    share_prefix: bool = True
    keep_control_embedding: bool = True
    write_ahead: int = 1
    split_guidance: bool = False
    offload: bool = False
    vae_slicing: bool = False
    channels_last: bool = False
    compile: CompileMode | None = None
    vae_tiling: bool = False
    step_cache: int = 1
    reference_every: int = 1

    def __post_init__(self) -> None:
        for name in ("write_ahead", "step_cache", "reference_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} counts steps and must be at least 1")
        approximate = self.step_cache > 1 or self.reference_every > 1
        if approximate and (self.write_ahead > 1 or self.split_guidance):
            raise InputError(
                "step_cache and reference_every keep values of one undivided step; leave "
                "write_ahead at 1 and split_guidance off with them"
            )
        if self.step_cache > 1 and (self.reference_every > 1 or self.compile):
            raise InputError("step_cache cannot be combined with reference_every or compile")
        if self.write_ahead > 1 and self.split_guidance:
            raise InputError("write_ahead batches what split_guidance divides; choose one")
        graphs = self.compile in ("reduce-overhead", "max-autotune")
        if graphs and (self.write_ahead > 1 or self.reference_every > 1):
            raise InputError(
                f"compile={self.compile!r} uses CUDA graphs, whose outputs live for one step; "
                "leave write_ahead and reference_every at 1, or compile with 'default'"
            )
        if self.compile and self.offload:
            raise InputError("compile needs the network to stay on its device; turn offload off")

    @classmethod
    def plain(cls) -> Speed:
        """Nothing but the algorithm: the baseline."""
        return cls(
            fused_kernel=False,
            keep_reference_projected=False,
            keep_context=False,
            early_exit=False,
            share_prefix=False,
            keep_control_embedding=False,
        )

    @classmethod
    def low_memory(cls) -> Speed:
        """For ``--low-vram``: one part on the device at a time, one guidance branch at a time."""
        return cls(offload=True, split_guidance=True, vae_slicing=True)

    def with_(self, **changes: Any) -> Speed:
        """A copy with some switches changed."""
        return replace(self, **changes)
