"""Step caching: reuse the deep levels of a U-Net between neighbouring steps.

DeepCache (Ma et al. 2024, arXiv 2312.00858): features that reach the last up block from below
change slowly from step to step, while the finest level must be recomputed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class DeepCache:
    """Remembers what entered the last up block, by the name of the pass.

    Args:
        unet: a stock ``UNet2DConditionModel`` with at least two levels.
    """

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self._deep: dict[str, torch.Tensor] = {}
        #: Skip connections of the finest level.
        self.skips = 1 + len(unet.down_blocks[0].resnets)

    @contextmanager
    def recording(self, which: str) -> Iterator[None]:
        """Remember the deep features of the enclosed full pass."""

        def keep(_: Any, __: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._deep[which] = kwargs["hidden_states"]

        hook = self.unet.up_blocks[-1].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def shallow(
        self,
        which: str,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        context: torch.Tensor,
        residuals: tuple[torch.Tensor, ...] = (),
    ) -> torch.Tensor:
        """One pass through the finest level only, with the remembered deep features.

        Args:
            which: the pass whose deep features are taken.
            sample, timestep, context: as for the U-Net.
            residuals: of a ControlNet, for the skip connections of the finest level.
        """
        unet = self.unet
        embedding = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=timestep))
        hidden = unet.conv_in(sample)
        skips = [hidden]
        down, up = unet.down_blocks[0], unet.up_blocks[-1]
        attentions = getattr(down, "attentions", None) or [None] * len(down.resnets)
        for resnet, attention in zip(down.resnets, attentions, strict=True):
            hidden = resnet(hidden, embedding)
            if attention is not None:
                hidden = attention(hidden, encoder_hidden_states=context, return_dict=False)[0]
            skips.append(hidden)
        if residuals:
            skips = [s + r for s, r in zip(skips, residuals, strict=True)]
        arguments = {"encoder_hidden_states": context} if hasattr(up, "attentions") else {}
        hidden = up(
            hidden_states=self._deep[which],
            temb=embedding,
            res_hidden_states_tuple=tuple(skips),
            **arguments,
        )
        return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
