from __future__ import annotations

import pytest
import torch

from img2mesh.diffusion import reference_attention as ra
from tests.models.tiny import TinyShape, _unet_config


@pytest.fixture(scope="module")
def unet() -> torch.nn.Module:
    import diffusers

    shape = TinyShape(unet_channels=(16, 32, 32), heads=(2, 4, 4), layers=2)
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(**_unet_config(shape)).eval()  # type: ignore[no-any-return]


def _naive(attn: torch.nn.Module, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """Attention one head at a time, in float64."""
    attn = attn.double()
    q, k, v = attn.to_q(tokens.double()), attn.to_k(context.double()), attn.to_v(context.double())
    d = q.shape[-1] // attn.heads
    heads = []
    for h in range(attn.heads):
        part = slice(h * d, (h + 1) * d)
        weights = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / d**0.5, dim=-1)
        heads.append(weights @ v[..., part])
    return attn.to_out[0](torch.cat(heads, dim=-1)).float()


@pytest.mark.parametrize("plain", [True, False])
@torch.no_grad()
def test_reading_attends_to_own_and_stored_tokens(plain: bool) -> None:
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(1)
    attn = Attention(16, heads=4, dim_head=4)
    bank = ra.ReferenceBank(plain=plain)
    processor = ra.ReferenceAttention("a", bank)
    stored, own = torch.randn(2, 5, 16), torch.randn(2, 9, 16)
    with bank.passing("write"):
        written = processor(attn, stored)
    with bank.passing("read"):
        read = processor(attn, own)
    plain = processor(attn, own)
    torch.testing.assert_close(written, _naive(attn, stored, stored), atol=1e-5, rtol=1e-5)
    attn.float()
    both = torch.cat([own, stored], dim=1)
    torch.testing.assert_close(read, _naive(attn, own, both), atol=1e-5, rtol=1e-5)
    attn.float()
    torch.testing.assert_close(plain, _naive(attn, own, own), atol=1e-5, rtol=1e-5)


def test_installing_adds_no_parameters(unet: torch.nn.Module) -> None:
    before = {k: v.clone() for k, v in unet.state_dict().items()}
    ra.install(unet)
    after = unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


@torch.no_grad()
def test_layers_are_listed_in_the_order_they_run(unet: torch.nn.Module) -> None:
    bank = ra.install(unet)
    met: list[str] = []
    bank.on_store = lambda name, tokens: met.append(name)
    with bank.passing("write"):
        unet(torch.randn(1, 4, 8, 8), torch.tensor(3.0), torch.randn(1, 77, 32))
    assert met == ra.layers(unet)
    assert len(met) == 2 * 2 + 1 + 2 * 3  # two attending levels, middle, two levels of three


@torch.no_grad()
def test_a_write_pass_may_end_early_with_the_same_store(unet: torch.nn.Module) -> None:
    inputs = torch.randn(1, 4, 8, 8), torch.tensor(3.0), torch.randn(1, 77, 32)
    bank = ra.install(unet)
    with bank.passing("write"):
        unet(*inputs)
    full, finished = bank.stored, []
    bank.clear()
    bank.stop_after = ra.layers(unet)[-1]
    with bank.passing("write"):
        unet(*inputs)
        finished.append(True)
    assert not finished and bank.mode == "off"
    assert bank.stored.keys() == full.keys()
    assert all(
        torch.equal(a, b) for k in full for a, b in zip(bank.stored[k], full[k], strict=True)
    )


@torch.no_grad()
def test_batch_rows_read_their_own_reference(unet: torch.nn.Module) -> None:
    bank = ra.install(unet)
    z, x, c = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 12, 8), torch.randn(2, 77, 32)
    t = torch.tensor(500.0)

    def run(rows: list[int], reference: list[int]) -> torch.Tensor:
        with bank.passing("write"):
            unet(z[reference].clone(), t, c[rows].clone())
        with bank.passing("read"):
            return unet(x[rows].clone(), t, c[rows].clone()).sample

    both = run([0, 1], [0, 1])
    torch.testing.assert_close(both[1:], run([1], [1]), atol=1e-5, rtol=1e-4)
    assert (both[1:] - run([1], [0])).abs().max() > 1e-3


@torch.no_grad()
def test_kept_context_is_recognised_by_identity(unet: torch.nn.Module) -> None:
    ra.install(unet, keep_context=False)
    x, t = torch.randn(1, 4, 8, 8), torch.tensor(9.0)
    contexts = [torch.randn(1, 77, 32) for _ in range(7)]
    expected = [unet(x, t, c).sample for c in contexts]
    ra.install(unet, keep_context=True)
    for _ in range(2):
        for context, want in zip(contexts, expected, strict=True):
            torch.testing.assert_close(unet(x, t, context).sample, want, atol=1e-6, rtol=1e-5)
