"""Self-attention shared across the views of a batch (the idea of Consistent123).

Every view's queries see the keys and values of all views, so that independent samples of one
object agree better. Nothing is trained and no parameter is added; one view alone is left exactly
as it was, and permuting the views permutes the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from img2mesh.diffusion.reference_attention import attend


class SharedAttention:
    """An attention processor: keys and values of the views of a sample are joined.

    Args:
        views: how many views make one sample; rows of a batch are ordered
            [branch][view][sample].
        samples: independent samples of each view.
    """

    def __init__(self, views: int, samples: int) -> None:
        self.views, self.samples = views, samples

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        """(rows, tokens, channels) as diffusers' own processors take and return them."""
        key, value = (self._join(f(hidden_states)) for f in (attn.to_k, attn.to_v))
        joined = attend(attn.to_q(hidden_states), key, value, attn.heads)
        for layer in attn.to_out:
            joined = layer(joined)
        return joined / attn.rescale_output_factor

    def _join(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, views x tokens, c): a row gets the tokens of all views of its sample."""
        rows, tokens, channels = x.shape
        grouped = x.reshape(-1, self.views, self.samples, tokens, channels)
        joined = grouped.transpose(1, 2).flatten(2, 3)  # (branch, sample, views x tokens, c)
        spread = joined[:, None].expand(-1, self.views, -1, -1, -1)
        return spread.reshape(rows, self.views * tokens, channels)


@contextmanager
def shared(unet: Any, *, views: int, samples: int) -> Iterator[None]:
    """Have a U-Net share its self-attention while the context lasts."""
    before = dict(unet.attn_processors)
    processor = SharedAttention(views, samples)
    unet.set_attn_processor(
        {name: processor if ".attn1." in name else old for name, old in before.items()}
    )
    try:
        yield
    finally:
        unet.set_attn_processor(before)
