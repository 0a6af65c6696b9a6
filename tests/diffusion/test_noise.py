from __future__ import annotations

import pytest
import torch

from img2mesh.diffusion.noise import KeyedNoise, drawn
from img2mesh.errors import InputError
from tests.models.noise import RecordedNoise, SequentialNoise

SHAPE = (2, 4, 8, 8)


def test_keyed_draws_do_not_depend_on_their_order() -> None:
    a, b = KeyedNoise(5), KeyedNoise(5)
    first = a.draw("reference", 0, SHAPE), a.draw("ancestral", 0, SHAPE)
    other = b.draw("ancestral", 0, SHAPE), b.draw("reference", 0, SHAPE)
    assert torch.equal(first[0], other[1]) and torch.equal(first[1], other[0])


def test_keyed_streams_differ_by_seed_kind_and_step() -> None:
    draws = [
        KeyedNoise(seed).draw(kind, step, SHAPE)
        for seed, kind, step in ((1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "a", 1), (1, "a", None))
    ]
    for i, x in enumerate(draws):
        assert abs(x.mean()) < 0.2 and 0.85 < x.std() < 1.15
        for y in draws[:i]:
            assert abs((x * y).mean()) < 0.2


def test_sequential_noise_is_one_generator() -> None:
    source, generator = SequentialNoise(9), torch.Generator().manual_seed(9)
    for kind in ("vae_cond", "init_latents"):
        assert torch.equal(source.draw(kind, None, SHAPE), torch.randn(SHAPE, generator=generator))


def test_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    KeyedNoise(1).draw("a", 0, SHAPE)
    SequentialNoise(1).draw("a", 0, SHAPE)
    assert torch.equal(before, torch.get_rng_state())


def test_recorded_noise_refuses_what_was_not_recorded() -> None:
    source = RecordedNoise({"reference": torch.zeros(2, 1, 3)})
    assert source.draw("reference", 1, (1, 3)).shape == (1, 3)
    for kind, step, shape in (
        ("ancestral", 0, (1, 3)),
        ("reference", 2, (1, 3)),
        ("reference", 0, (2, 3)),
    ):
        with pytest.raises(InputError):
            source.draw(kind, step, shape)


def test_a_source_of_the_wrong_shape_is_noticed() -> None:
    class Wrong:
        def draw(self, kind: str, step: int | None, shape: tuple[int, ...]) -> torch.Tensor:
            return torch.zeros(3)

    with pytest.raises(InputError, match="shape"):
        drawn(Wrong(), "reference", 0, (2, 3), torch.device("cpu"))
