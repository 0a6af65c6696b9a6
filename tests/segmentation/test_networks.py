"""The optional segmenters with tiny models made on the spot: no weights, no network."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from img2mesh import segmentation
from img2mesh.artifacts import Photo
from img2mesh.errors import InputError, MissingExtraError
from img2mesh.pipeline import cutout as cut_out


def photo() -> tuple[Photo, np.ndarray]:
    """A bright red disc on dark blue."""
    yy, xx = np.mgrid[0:120, 0:160]
    mask = np.hypot(xx - 70, yy - 60) < 35
    rgb = np.where(mask[..., None], (230, 40, 30), (20, 20, 90)).astype(np.uint8)
    return Photo(rgb=rgb), mask


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | str | int) -> bytes:
    """One protobuf field: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    body = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(body)) + body


def tiny_model(size: int, weights: tuple[float, float, float], bias: float) -> bytes:
    """onnx.proto by hand: sigmoid of one 1x1 convolution over (1, 3, size, size)."""

    def tensor(name: str, dims: tuple[int, ...], values: tuple[float, ...]) -> bytes:
        data = struct.pack(f"<{len(values)}f", *values)
        return b"".join(field(1, d) for d in dims) + field(2, 1) + field(8, name) + field(9, data)

    def value(name: str, dims: tuple[int, ...]) -> bytes:
        shape = b"".join(field(1, field(1, d)) for d in dims)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    convolution = field(1, "x") + field(1, "w") + field(1, "b") + field(2, "y") + field(4, "Conv")
    sigmoid = field(1, "y") + field(2, "z") + field(4, "Sigmoid")
    graph = field(1, convolution) + field(1, sigmoid) + field(2, "g")
    graph += field(5, tensor("w", (1, 3, 1, 1), weights)) + field(5, tensor("b", (1,), (bias,)))
    graph += field(11, value("x", (1, 3, size, size))) + field(12, value("z", (1, 1, size, size)))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "isnet-tiny.onnx"
    # Normalised red is .4 inside and -.42 outside: a steep slope gives a sure mask.
    path.write_bytes(tiny_model(32, (20.0, 0.0, 0.0), 0.0))
    return path


def test_onnx_model_makes_the_mask(onnx_file: Path) -> None:
    given, mask = photo()
    cutout = cut_out(given, segmenter="onnx", model=str(onnx_file))
    assert cutout.method == "onnx" and cutout.confidence > 0.9
    # Area of the disc in the cutout, scaled back to the photo.
    area = (cutout.alpha > 0.5).sum() * cutout.photo_from_cutout[0, 0] ** 2
    assert abs(area / mask.sum() - 1) < 0.12
    x, y, _ = cutout.photo_from_cutout @ [cutout.size / 2, cutout.size / 2, 1]
    assert abs(x - 70) < 3 and abs(y - 60) < 3


def test_onnx_recipe_follows_name_and_size() -> None:
    from img2mesh.segmentation import onnx

    assert onnx._recipe("BiRefNet_lite-1024", [1024, 1024]).mean[0] == 0.485
    assert onnx._recipe("u2netp", [320, 320]).peak
    assert onnx._recipe("unknown", [320, 320]).peak
    assert onnx._recipe("unknown", []).mean == (0.5, 0.5, 0.5)


def test_onnx_that_finds_nothing_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "none.onnx"
    path.write_bytes(tiny_model(32, (0.0, 0.0, 0.0), -9.0))
    with pytest.raises(InputError, match="--mask"):
        cut_out(photo()[0], segmenter="onnx", model=str(path))


def test_not_an_onnx_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "a.onnx"
    path.write_text("no model")
    with pytest.raises(InputError, match="not an ONNX model"):
        cut_out(photo()[0], segmenter="onnx", model=str(path))


@pytest.mark.parametrize(
    ("segmenter", "module"), [("onnx", "onnxruntime"), ("sam", "transformers")]
)
def test_missing_extras_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segmenter: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    model = tmp_path / "model.onnx"
    model.touch()
    chosen = model if segmenter == "onnx" else tmp_path
    with pytest.raises(MissingExtraError, match=rf"img2mesh\[{segmenter}\]"):
        cut_out(photo()[0], segmenter=segmenter, model=str(chosen))


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from transformers import SamConfig, SamModel
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    assert transformers
    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "mlp_dim": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
            "num_pos_feats": 8,
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": 64,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    folder = tmp_path_factory.mktemp("sam")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        SamModel(config).save_pretrained(folder)
    SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    ).save_pretrained(folder)
    return folder


def test_sam_runs_from_a_folder(sam_folder: Path) -> None:
    """Random weights find nothing in particular; shapes, ranges and the prompt can be held to."""
    from img2mesh.segmentation import sam

    given, mask = photo()
    found = sam.segment(given.rgb, model=sam_folder)
    assert found.matte.shape == mask.shape and found.matte.dtype == np.float32
    assert found.matte.min() >= 0 and found.matte.max() <= 1 and 0 <= found.confidence <= 1
    again = sam.segment(given.rgb, model=sam_folder)
    assert np.array_equal(found.matte, again.matte)
    (x0, y0, x1, y1), (point,), notes = sam._prompt(given.rgb)
    assert x0 < 36 and x1 > 104 and y0 < 26 and y1 > 94 and not notes
    assert np.hypot(point[0] - 70, point[1] - 60) < 6


def test_sam_needs_a_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="no SAM checkpoint"):
        cut_out(photo()[0], segmenter="sam", model=str(tmp_path))


def test_identity_follows_the_model(tmp_path: Path) -> None:
    assert segmentation.identity(segmenter="border", model=None) == {}
    model = tmp_path / "m.onnx"
    model.write_bytes(b"one")
    first = segmentation.identity(segmenter="onnx", model=str(model), foreground_ratio=0.85)
    model.write_bytes(b"two")
    second = segmentation.identity(segmenter="onnx", model=str(model))
    assert first != second and len(first["model"]) == 64
    folder = segmentation.identity(segmenter="sam", model=str(tmp_path))
    (tmp_path / "more.json").write_text("{}")
    assert folder != segmentation.identity(segmenter="sam", model=str(tmp_path))


def test_room_imports_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, img2mesh.segmentation; "
        "print([m for m in ('torch','cv2','skimage','scipy','onnxruntime','PIL') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
