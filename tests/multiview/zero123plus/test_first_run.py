"""What the first user with official weights or a card would have met."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.artifacts import Cutout
from img2mesh.diffusion import checkpoints, loaded, reference_attention
from img2mesh.diffusion.reference_attention import attend
from img2mesh.diffusion.weights import read_json
from img2mesh.multiview import Sampling
from img2mesh.multiview.zero123plus import Zero123Plus, views
from img2mesh.multiview.zero123plus.components import empty_prompt

SIZE: dict[str, Any] = {"width": 64, "height": 96}


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    loaded.forget()
    yield
    loaded.forget()


@pytest.fixture
def mine(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A checkpoint whose files a test may change."""
    return Path(shutil.copytree(checkpoint(), tmp_path / "mine"))


@pytest.fixture(scope="module")
def cutout() -> Cutout:
    v, u = np.mgrid[0:64, 0:64] / 64
    alpha = ((u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.14).astype(np.float32)
    return Cutout(np.stack([u, v, 0.5 + 0 * u], axis=-1).astype(np.float32), alpha)


@pytest.mark.parametrize(("background", "value"), [("white", 255), ("grey", 127)])
def test_the_records_backdrop_is_behind_the_condition(
    background: str, value: int, mine: Path, cutout: Cutout
) -> None:
    note = read_json(mine / checkpoints.NOTE_NAME)
    (mine / checkpoints.NOTE_NAME).write_text(json.dumps({**note, "background": background}))
    seen: dict[str, torch.Tensor] = {}
    rgba = views.picture(cutout)
    Zero123Plus.load(mine).sample(rgba, steps=1, observe=seen.__setitem__, **SIZE)
    # Computed here: composited in whole numbers as Pillow does, scaled as the configuration says.
    pixels = np.asarray(rgba, np.int64)
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    over = colour * alpha + value * (255 - alpha) + 128
    over = (over + (over >> 8)) >> 8
    expected = (over / 255 - 0.5) / 0.8
    got = seen["prep.pixel_values_vae"][0].numpy().transpose(1, 2, 0)
    assert np.abs(got - expected).max() < 1e-6


def test_the_white_record_is_white() -> None:
    assert checkpoints.TABLE["zero123plus-v1.2-white"].background == "white"


@pytest.mark.parametrize("newer", [False, True], ids=["old files", "new files"])
@pytest.mark.parametrize("special", ["!", {"content": "!", "lstrip": False}, None])
def test_tokenizer_files_that_disagree(newer: bool, special: Any, mine: Path) -> None:
    """The tokens are those that transformers gives."""
    from transformers import CLIPTokenizer

    folder = mine / "tokenizer"
    config = {**read_json(folder / "tokenizer_config.json"), "pad_token": "<|endoftext|>"}
    if newer:
        plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        config["added_tokens_decoder"] = {
            "1": {"content": "<|startoftext|>", "special": True, **plain},
            "2": {"content": "<|endoftext|>", "special": True, **plain},
        }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if special is None:
        (folder / "special_tokens_map.json").unlink()
    else:
        (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": special}))
    theirs = CLIPTokenizer.from_pretrained(folder)(
        "", padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    assert torch.equal(empty_prompt(folder, 77), theirs)


def test_the_wrong_padding_of_a_known_checkpoint_is_told(mine: Path, cutout: Cutout) -> None:
    index = read_json(mine / "model_index.json")
    index["ramping_coefficients"][:4] = [0.0, 0.20600578, 0.18684480, 0.24342191]
    (mine / "model_index.json").write_text(json.dumps(index))

    def notes() -> str:
        quick = Sampling(steps=1, device="cpu")
        drawn = views.generate(cutout, checkpoint=str(mine), normals=False, sampling=quick)
        return " ".join(drawn.provenance.notes)

    assert "pads with" not in notes()
    files = [mine / "tokenizer" / f"{n}.json" for n in ("special_tokens_map", "tokenizer_config")]
    for file in files:
        file.write_text(json.dumps({**read_json(file), "pad_token": "<|endoftext|>"}))
    assert "pads with token 2, the published ones with 0" in notes()


def test_a_model_is_read_once(mine: Path, cutout: Cutout) -> None:
    """And again only when its files or its place changed; one at a time is kept."""
    quick = Sampling(steps=1, device="cpu")

    def draw(**changes: Any) -> int:
        before = loaded.reads
        given = {"checkpoint": str(mine), "normals": False, "sampling": quick, **changes}
        views.generate(cutout, **given)
        return loaded.reads - before

    assert [draw(), draw(), draw()] == [1, 0, 0]
    assert draw(sampling=Sampling(speed="draft", steps=2, device="cpu")) == 0
    assert [draw(sampling=Sampling(steps=1, device="cpu", low_vram=True)), draw()] == [1, 1]
    unet = next((mine / "unet").glob("*.safetensors"))
    data = bytearray(unet.read_bytes())
    data[-1] ^= 1
    unet.write_bytes(data)
    assert [draw(), draw()] == [1, 0]


def test_what_failed_is_not_kept(mine: Path, cutout: Cutout) -> None:
    quick = Sampling(steps=2, device="cpu")
    found, place = checkpoints.locate(mine), views.pick_place(quick)
    with views.model_of(found, mine / "controlnet", place) as model:
        kept = model
    calls: list[int] = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("CUDA out of memory")

    kept.parts.unet.register_forward_pre_hook(fail)
    control = Image.new("RGB", (64, 96))
    with pytest.raises(RuntimeError), views.model_of(found, mine / "controlnet", place) as model:
        assert model is kept
        model.sample(Image.new("RGB", (64, 64)), control, steps=2, **SIZE)
    with views.model_of(found, None, place) as model:
        assert model is not kept
    # Nothing of the run stays with the networks either.
    assert not kept.bank.stored
    for net in (kept.parts.unet, kept.controlnet):
        for processor in net.attn_processors.values():
            assert not getattr(processor, "_kept", None)


def test_large_values_stay_finite_in_half_precision() -> None:
    """A product of queries and keys before the scale would leave the range of half precision."""
    query = torch.full((1, 4, 64), 60.0, dtype=torch.float16)
    out = attend(query, query, torch.ones_like(query), heads=1)
    assert torch.isfinite(out).all()


def test_nothing_is_kept_of_weights_that_learn(checkpoint: Callable[..., Path]) -> None:
    unet = Zero123Plus.load(checkpoint()).parts.unet.requires_grad_(True)
    reference_attention.install(unet)
    x, context = torch.zeros(1, 4, 8, 8), torch.randn(1, 77, 32)  # the empty prompt of two steps
    cross = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    first = unet(x, 1, context).sample
    first.sum().backward()
    with torch.no_grad():
        cross.to_v.weight.add_(1.0)
    second = unet(x, 1, context).sample
    second.sum().backward()  # through a graph of its own
    assert (first - second).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((6, 1), torch.float32), ((6, 0), torch.float16), ((8, 9), torch.float16)],
)
def test_half_precision_where_it_is_fast(
    capability: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert views.pick_place(Sampling(device="cuda")).dtype == dtype
