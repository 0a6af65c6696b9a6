"""Names and shapes at the published sizes, on the meta device: no memory, no weights."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from img2mesh.diffusion import reference_attention, weights
from tests.models import official

SHAPES = json.loads(
    gzip.decompress((Path(__file__).parent / "official_shapes.json.gz").read_bytes())
)
#: Parameters of the published v1.2 files.
PARAMETERS = {
    "unet": 865_910_724,
    "vae": 83_653_863,
    "text_encoder": 340_387_840,
    "vision_encoder": 632_076_800,
}


def _meta(part: str) -> Any:
    with torch.device("meta"):
        return official.MAKERS[part]()


@pytest.mark.parametrize("part", sorted(SHAPES))
def test_names_and_shapes_are_the_published_ones(part: str) -> None:
    module = _meta(part)
    published = {k: torch.empty(shape, device="meta") for k, shape in SHAPES[part].items()}
    state = module.state_dict()
    renamed = weights.matched(published, state)
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in state.items()}
    if part != "text_encoder":  # transformers builds it without its official prefix
        assert published.keys() == state.keys()
    if part in PARAMETERS:
        assert sum(p.numel() for p in module.parameters()) == PARAMETERS[part]


def test_published_names_load_strictly() -> None:
    for part in SHAPES:
        # One element strided over every shape: the loader sees full shapes, memory does not.
        state = {k: torch.zeros(1).expand(shape) for k, shape in SHAPES[part].items()}
        built = weights.build(official.MAKERS[part], state, what=part, dtype=torch.float32)
        assert not any(p.is_meta for p in built.parameters())
        assert not any(b.is_meta for b in built.buffers())


def test_sixteen_reference_layers() -> None:
    unet = _meta("unet")
    reference_attention.install(unet)
    names = reference_attention.layers(unet)
    assert len(names) == 16
    assert [sum(n.startswith(p) for n in names) for p in ("down", "mid", "up")] == [6, 1, 9]
    assert unet.state_dict().keys() == SHAPES["unet"].keys()
