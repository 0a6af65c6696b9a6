"""The pretend GPU keeps the rules it is there to keep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from tests.pretend_gpu import DEVICE, Mixed, PretendGpu


@pytest.fixture
def gpu() -> Iterator[PretendGpu]:
    with PretendGpu() as gpu:
        yield gpu


def test_values_are_those_of_the_cpu(gpu: PretendGpu) -> None:
    layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(16, 2))
    given = torch.randn(2, 3, 4, 4)
    layer(given).square().sum().backward()
    expected = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    layer.zero_grad()
    layer.to(DEVICE)
    out = layer(given.to(DEVICE))
    assert out.is_cuda and out.device == DEVICE and torch.empty(2, device=DEVICE).is_cuda
    out.square().sum().backward()
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        assert parameter.grad is not None and parameter.grad.is_cuda
        torch.testing.assert_close(parameter.grad.cpu(), gradient)


def test_what_cuda_refuses_is_refused(gpu: PretendGpu) -> None:
    there, here = torch.ones(3, 3, device=DEVICE), torch.ones(3, 3)
    for mix in (
        lambda: there + here,
        lambda: there @ here,
        lambda: torch.cat([there, here]),
        lambda: nn.functional.scaled_dot_product_attention(there, here, here),
        lambda: here[there[0].long()],
        lambda: nn.functional.embedding(torch.tensor([0]), there),
    ):
        with pytest.raises(Mixed):
            mix()
    with pytest.raises(TypeError, match="numpy"):
        np.asarray(there)
    with pytest.raises(RuntimeError):
        there @ there.half()
    assert (there + torch.tensor(1.0)).sum().item() == 18  # numbers may come from anywhere


def test_waiting_is_counted(gpu: PretendGpu) -> None:
    values = torch.arange(6.0, device=DEVICE)
    values[values > 2] = 0  # filled without a count of what is true
    assert not gpu.waits
    float(values.max())
    values[values > 1]
    torch.nonzero(values)
    values[torch.tensor([0])]
    values.cpu()
    assert gpu.waits.total() == 5, gpu.waits
    before = gpu.sent.total()
    torch.ones(3).to(DEVICE)
    torch.tensor([1, 2], device=DEVICE)
    assert gpu.sent.total() == before + 2


def test_memory_and_work_are_counted(gpu: PretendGpu) -> None:
    a = torch.ones(256, 256, device=DEVICE)
    b = a @ a
    assert gpu.flops == 2 * 256**3
    assert b.t().is_cuda and gpu.bytes == 2 * 256 * 256 * 4  # a view weighs nothing
    del a, b
    assert gpu.bytes == 0 and gpu.most_bytes == 2 * 256 * 256 * 4
    assert torch.get_device_module(DEVICE).max_memory_allocated() == gpu.most_bytes


def test_hollow_knows_shapes_alone() -> None:
    with PretendGpu(hollow=True) as gpu:
        big = torch.empty(1 << 20, 1 << 20, device=DEVICE)
        product = big @ big
        assert gpu.bytes == 2 << 42 and product.shape == big.shape
        assert product[:2, 0].cpu().tolist() == [1, 1] and bool(product.isfinite().all())
        with pytest.raises(Mixed):
            big[0] + torch.ones(1 << 20)


def test_the_cpu_is_left_alone(gpu: PretendGpu) -> None:
    out = torch.ones(3) + torch.ones(3)
    assert type(out) is torch.Tensor and not gpu.operations and not gpu.bytes
