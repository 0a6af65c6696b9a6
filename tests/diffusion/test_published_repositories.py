"""The published repositories as a download finds them: fetched, locked, verified, loaded, run."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.diffusion import checkpoints, fetching, store
from img2mesh.multiview.zero123plus import Zero123Plus
from tests.models import hub
from tests.models.tiny import PUBLISHED

ZERO123PLUS = [n for n, record in checkpoints.TABLE.items() if record.family == "zero123plus"]


@pytest.fixture(scope="module")
def fetched(
    checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A folder of models, filled by ``models fetch`` from a hub of this machine's own."""
    root = tmp_path_factory.mktemp("models")
    code = (
        "import sys; from img2mesh.diffusion.fetching import fetch\n"
        "for name in sys.argv[1:]: fetch(name, say=print)"
    )
    with hub.serving(hub.repositories(checkpoint(PUBLISHED))) as address:
        own = {"HF_ENDPOINT": address, "IMG2MESH_MODELS": str(root), "HF_HOME": str(root / "hf")}
        done = subprocess.run(
            [sys.executable, "-c", code, *ZERO123PLUS],
            env={**os.environ, **own, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    yield root


def test_only_data_is_fetched_and_it_is_locked(fetched: Path) -> None:
    locks = store.read_locks(fetched)
    assert sorted(locks) == sorted(ZERO123PLUS)
    for name, lock in locks.items():
        assert lock.revision == hub._commit(checkpoints.TABLE[name].repository)
        assert not [f for f in lock.files if f.endswith((".py", ".md", ".ckpt"))]
    assert {s.state for s in fetching.verify(root=fetched)} == {"verified"}
    old = locks["zero123plus-v1.1"].files
    assert {f for f in old if f.endswith(".bin")} == {
        "unet/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.bin",
        "text_encoder/pytorch_model.bin", "vision_encoder/pytorch_model.bin",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "control", "backdrop"),
    [
        ("zero123plus-v1.1", "zero123plus-v1.1-depth", 127),
        ("zero123plus-v1.2", "zero123plus-v1.2-normals", 127),
        ("zero123plus-v1.2-white", None, 255),
    ],
)
def test_a_fetched_checkpoint_loads_and_takes_a_step(
    name: str,
    control: str | None,
    backdrop: int,
    fetched: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMG2MESH_MODELS", str(fetched))
    model = Zero123Plus.load(name, control)
    published = json.loads(
        gzip.decompress((Path(__file__).parent / "official_shapes.json.gz").read_bytes())
    )
    assert model.parts.unet.state_dict().keys() == published["unet"].keys()
    assert model.parts.vae.state_dict().keys() == published["vae"].keys()
    assert len(model.parts.vision_encoder.state_dict()) == len(published["vision_encoder"])
    assert len(model.parts.text_encoder.state_dict()) == len(published["text_encoder"])
    if control is not None:
        assert model.controlnet.state_dict().keys() == published["controlnet"].keys()
    assert model.parts.prompt_ids.tolist() == [[1, 2] + [0] * 75]
    assert model.backdrop == (backdrop,) * 3
    assert model.parts.training.prediction == "v_prediction"
    picture = Image.new("RGBA", (80, 80), (200, 80, 30, 200))
    sheet = Image.new("RGB", (32, 48), "blue") if control is not None else None
    sample = model.sample(picture, sheet, steps=1, width=32, height=48)
    assert np.isfinite(sample.images).all() and torch.isfinite(sample.latents).all()
