from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from img2mesh.diffusion import weights
from img2mesh.errors import InputError
from tests.models.tiny import TinyShape, _text_config, _unet_config, _vae_config

SHAPE = TinyShape()


def _unet() -> Any:
    import diffusers

    return diffusers.UNet2DConditionModel(**_unet_config(SHAPE))


def _vae() -> Any:
    import diffusers

    return diffusers.AutoencoderKL(**_vae_config(SHAPE))


def _text() -> Any:
    import transformers

    return transformers.CLIPTextModel(transformers.CLIPTextConfig(**_text_config(SHAPE)))


def _loaded(make: Callable[[], Any], state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return weights.build(make, state, what="a test", dtype=torch.float32).state_dict()


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("convolutions", [False, True])
def test_old_vae_attention_names(convolutions: bool) -> None:
    expected = _vae().state_dict()
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for key, value in expected.items():
        for new, former in names.items():
            if f".{new}." in key:
                key = key.replace(f".{new}.", f".{former}.")
                if convolutions and value.ndim == 2:
                    value = value[:, :, None, None]
        old[key] = value
    assert not any("to_q" in k for k in old) and any("proj_attn" in k for k in old)
    assert _same(_loaded(_vae, old), expected)


@pytest.mark.parametrize("prefix", ["text_model.", ""])
def test_text_encoder_prefix_and_old_position_buffer(prefix: str) -> None:
    expected = _text().state_dict()
    bare = {k.removeprefix("text_model."): v for k, v in expected.items()}
    state = {prefix + k: v for k, v in bare.items()}
    state[f"{prefix}embeddings.position_ids"] = torch.arange(77)[None]
    assert _same(_loaded(_text, state), expected)


@pytest.mark.parametrize("prefix", ["", "unet.", "unet.unet.", "module."])
def test_wrapped_unet_prefixes(prefix: str) -> None:
    expected = _unet().state_dict()
    assert _same(_loaded(_unet, {prefix + k: v for k, v in expected.items()}), expected)


def test_training_checkpoint_with_both_prefixes_and_wrapper(tmp_path: Path) -> None:
    expected = _unet().state_dict()
    both = {f"unet.unet.{k}": v for k, v in expected.items()}
    both |= {f"unet.{k}": v for k, v in expected.items()}
    torch.save({"state_dict": both, "epoch": 3}, tmp_path / "last.bin")
    assert _same(_loaded(_unet, weights.read_state(tmp_path / "last.bin")), expected)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_load(tmp_path: Path, zipped: bool) -> None:
    state = {"a.weight": torch.randn(3, 2)}
    torch.save(state, tmp_path / "w.bin", _use_new_zipfile_serialization=zipped)
    assert _same(weights.read_state(tmp_path / "w.bin"), state)


def test_torch_files_that_hold_more_than_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1), "args": argparse.Namespace(a=1)}, tmp_path / "w.bin")
    with pytest.raises(InputError, match="plain weights"):
        weights.read_state(tmp_path / "w.bin")


def test_files_that_would_run_code_do_not(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"w": Payload()}, tmp_path / "w.bin")
    with pytest.raises(InputError, match="plain weights"):
        weights.read_state(tmp_path / "w.bin")
    assert not (tmp_path / "ran").exists()


def test_safetensors_come_first(tmp_path: Path) -> None:
    for name in ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"):
        (tmp_path / name).touch()
    assert weights.find_weights(tmp_path, weights.DIFFUSERS_NAMES).suffix == ".safetensors"


def test_half_precision_file_names_are_found(tmp_path: Path) -> None:
    (tmp_path / "model.fp16.safetensors").touch()
    assert weights.find_weights(tmp_path, weights.TRANSFORMERS_NAMES).name.startswith("model.fp16")


def test_no_weights_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no weights"):
        weights.find_weights(tmp_path, weights.DIFFUSERS_NAMES)


def test_loading_is_strict() -> None:
    state = _unet().state_dict()
    state.pop("conv_in.weight")
    with pytest.raises(InputError, match=r"1 missing \(first conv_in\.weight\)"):
        _loaded(_unet, state)
    with pytest.raises(InputError, match="1 unknown"):
        _loaded(_unet, {**_unet().state_dict(), "extra.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="conv_in"):
        _loaded(_unet, {**_unet().state_dict(), "conv_in.weight": torch.zeros(16, 8, 3, 3)})


def test_built_modules_compute_what_ordinary_ones_do() -> None:
    torch.manual_seed(0)
    model = _text().eval()
    built = weights.build(_text, model.state_dict(), what="a test", dtype=torch.float32)
    ids = torch.tensor([[1, 2] + [0] * 75])
    with torch.no_grad():
        torch.testing.assert_close(built(ids)[0], model(ids)[0])
    assert not built.training
    assert not any(p.requires_grad for p in built.parameters())


def test_weights_are_cast(tmp_path: Path) -> None:
    state = {k: v.half() for k, v in _unet().state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    read = weights.read_state(tmp_path / "w.safetensors")
    assert {v.dtype for v in _loaded(_unet, read).values()} == {torch.float32}


def test_conversion_keeps_every_tensor(tmp_path: Path) -> None:
    shared = torch.randn(4)
    state = {"a": shared, "b": shared, "c": torch.randn(3, 2).T}
    torch.save(state, tmp_path / "w.bin")
    converted = weights.convert(tmp_path / "w.bin")
    assert converted == tmp_path / "w.safetensors"
    assert _same(weights.read_state(converted), state)
