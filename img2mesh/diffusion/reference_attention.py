"""Reference attention: a second picture joins every self-attention of a stock U-Net.

Zero123++ (arXiv 2310.15110, section 2.2): the condition's latents pass through the same network,
and the tokens each self-attention layer saw are appended to the keys and values of the main pass.

The processors hold no parameters, so they are installed at run time and the state dict stays
stock. All layers share one :class:`ReferenceBank`, whose mode says what a pass does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

Mode = Literal["off", "write", "read"]
Tokens = Callable[[str, torch.Tensor], None]


class WriteComplete(Exception):
    """Raised inside a write pass as soon as the last layer has stored: the rest is not needed."""


class ReferenceBank:
    """What the write pass leaves for the read pass, by layer name.

    Attributes:
        mode: ``off`` (plain attention), ``write`` or ``read``.
        plain: store tokens rather than keys and values. The write pass computes these anyway, so
            keeping them saves the read pass two projections of the reference tokens a layer; exact
            up to the rounding of a differently blocked matrix product.
        stop_after: raise :class:`WriteComplete` when this layer has stored; None runs to the end.
        on_store: called with (layer, tokens) as they are stored; for tests and tracing.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self.mode: Mode = "off"
        self.plain = plain
        self.stop_after: str | None = None
        self.on_store: Tokens | None = None
        self.stored: dict[str, tuple[torch.Tensor, ...]] = {}

    def clear(self) -> None:
        """Forget everything stored."""
        self.stored = {}

    @contextmanager
    def passing(self, mode: Mode) -> Iterator[None]:
        """Run the enclosed pass in a mode; a write pass may end early."""
        self.mode = mode
        try:
            yield
        except WriteComplete:
            if mode != "write":
                raise
        finally:
            self.mode = "off"

    @contextmanager
    def repeating(self, mode: Mode, stored: dict[str, tuple[torch.Tensor, ...]]) -> Iterator[None]:
        """Compute a part of an earlier pass once more, for gradients; what is stored stays."""
        before = self.mode, self.stored
        self.mode, self.stored = mode, dict(stored)
        try:
            yield
        finally:
            self.mode, self.stored = before


class ReferenceAttention:
    """Attention processor of one self-attention layer."""

    def __init__(self, name: str, bank: ReferenceBank) -> None:
        self.name = name
        self.bank = bank

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from own tokens (b, l, c) to own and stored tokens; returns (b, l, c)."""
        bank = self.bank
        # Only U-Nets with cross-attention in its place give this layer a context of its own.
        tokens = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        context = tokens
        if bank.mode == "read" and bank.plain:
            context = torch.cat([tokens, bank.stored[self.name][0]], dim=1)
        key, value = attn.to_k(context), attn.to_v(context)
        if bank.mode == "write":
            if bank.on_store is not None:
                bank.on_store(self.name, tokens)
            bank.stored[self.name] = (tokens,) if bank.plain else (key, value)
            if bank.stop_after == self.name:
                raise WriteComplete
        elif bank.mode == "read" and not bank.plain:
            stored_key, stored_value = bank.stored[self.name]
            key = torch.cat([key, stored_key], dim=1)
            value = torch.cat([value, stored_value], dim=1)
        attended = attend(attn.to_q(hidden_states), key, value, attn.heads)
        return attn.to_out[1](attn.to_out[0](attended))


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """Plain scaled dot-product attention with ``heads`` heads; (b, l, c) from (b, l | m, c)."""
    query, key, value = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class CrossAttention:
    """Attention processor of one cross-attention layer that keeps the context's keys and values.

    The context (prompt and image embedding) is the same in every step and pass of a run; so are
    its projections. Identity of the context tensor tells whether a stored one still holds, which
    the weights that project it must not outlive: nothing is kept while gradients are computed.
    """

    #: Contexts in use at once: of both guidance branches, and of the positive one alone; or one
    #: each, where they run one after the other.
    _KEPT = 2

    def __init__(self, *, keep_context: bool) -> None:
        self.keep_context = keep_context
        self._kept: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def clear(self) -> None:
        """Forget all contexts."""
        self._kept = []

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from tokens (b, l, c) to the context (b, m, d); returns (b, l, c)."""
        keep = self.keep_context and not torch.is_grad_enabled()
        if encoder_hidden_states is None or not keep:
            context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
            key, value = attn.to_k(context), attn.to_v(context)
        else:
            key, value = self._projected(attn, encoder_hidden_states)
        attended = attend(attn.to_q(hidden_states), key, value, attn.heads)
        return attn.to_out[1](attn.to_out[0](attended))

    def _projected(self, attn: Any, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for known, key, value in self._kept:
            if known is context:
                return key, value
        key, value = attn.to_k(context), attn.to_v(context)
        self._kept = [*self._kept, (context, key, value)][-self._KEPT :]
        return key, value


def install(unet: Any, *, keep_context: bool = True, plain: bool = False) -> ReferenceBank:
    """Give every self-attention of a diffusers U-Net a reference processor.

    Args:
        unet: a ``UNet2DConditionModel``; changed in place, its state dict is not.
        keep_context, plain: see the processors and the bank.

    Returns:
        The bank its layers share.
    """
    bank = ReferenceBank(plain=plain)
    install_plain(unet, keep_context=keep_context)
    processors = dict(unet.attn_processors)
    for name in layers(unet):
        processors[name] = ReferenceAttention(name, bank)
    unet.set_attn_processor(processors)
    return bank


def install_plain(net: Any, *, keep_context: bool = True) -> None:
    """Give every transformer layer of a network attention that may keep its context's projections.

    Attention outside transformer blocks, of another form, keeps its own processor.
    """
    processors = dict(net.attn_processors)
    for name in processors:
        if name.endswith(("attn1.processor", "attn2.processor")):
            processors[name] = CrossAttention(keep_context=keep_context)
    net.set_attn_processor(processors)


def layers(unet: Any) -> list[str]:
    """Names of the reference attention layers, in the order a forward pass meets them."""
    order = ("down_blocks", "mid_block", "up_blocks")
    named = [n for n in unet.attn_processors if n.endswith("attn1.processor")]
    return sorted(named, key=lambda n: order.index(n.split(".")[0]))  # stable within each part


def clear(net: nn.Module) -> None:
    """Forget what a network's cross-attention processors keep of the last run's context."""
    for processor in getattr(net, "attn_processors", {}).values():
        if isinstance(processor, CrossAttention):
            processor.clear()
