"""The pipeline's three functions on tiny checkpoints: generate, refine, identity."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.artifacts import Cutout, DepthSet, ViewSet
from img2mesh.core.rigs import rig
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.multiview import Sampling
from img2mesh.multiview.zero123plus import Zero123Plus, choices
from img2mesh.multiview.zero123plus import views as passes
from img2mesh.multiview.zero123plus.views import picture
from tests.models.tiny import BALLS
from tests.models.tiny_ball import RADIUS

QUICK = Sampling(steps=3, device="cpu")

#: In a process that did other work before, the CPU's matrix library may sum in another order: the
#: same call differs by 1e-7 to 1e-5. Another seed differs by 1e-1. A fresh process repeats exactly.
LAST_BITS = 1e-3


def generate(cutout: Cutout, **settings: Any) -> ViewSet:
    return passes.generate(cutout, **{"normals": False, "sampling": QUICK, **settings})


def refine(cutout: Cutout, views: ViewSet, depths: DepthSet, **settings: Any) -> ViewSet:
    return passes.refine(cutout, views, depths, **{"strength": 0.75, "sampling": QUICK, **settings})


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint(controlnets=("controlnet", "controlnet_normals")))


@pytest.fixture(scope="module")
def bare(checkpoint: Callable[..., Path]) -> Path:
    """Without ControlNets."""
    return checkpoint(controlnets=())


@pytest.fixture(scope="module")
def cutout() -> Cutout:
    v, u = np.mgrid[0:64, 0:64] / 64
    alpha = ((u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.14).astype(np.float32)
    return Cutout(np.stack([u, v, 0.5 + 0 * u], axis=-1).astype(np.float32), alpha)


@pytest.fixture(scope="module")
def views(folder: str, cutout: Cutout) -> ViewSet:
    return generate(cutout, checkpoint=folder)


@pytest.fixture(scope="module")
def depths(views: ViewSet) -> DepthSet:
    depth = np.full((6, 32, 32), np.nan, np.float32)
    depth[:, 6:26, 8:24] = np.linspace(2, 3, 16)
    return DepthSet(depth, views.cameras)


def test_views_lie_on_the_checkpoints_rig(views: ViewSet) -> None:
    assert views.rgb.shape == (6, 32, 32, 3)
    expected = rig("zero123plus-v1.1").cameras(32)
    for ours, theirs in zip(views.cameras, expected, strict=True):
        np.testing.assert_array_equal(ours.world_from_camera, theirs.world_from_camera)
        assert ours.fx == theirs.fx


def test_provenance(views: ViewSet, cutout: Cutout) -> None:
    p = views.provenance
    assert (p.generator, p.learned_weights, p.exact) == ("tiny", True, False)
    assert p.licences == ("none: random",)
    assert views.photo is not None and np.array_equal(views.photo.rgb, cutout.rgb)


def test_tiles_are_the_models_sheet_row_by_row(folder: str, cutout: Cutout, views: ViewSet) -> None:
    model = Zero123Plus.load(folder)
    sheet = model.sample(picture(cutout), steps=3, width=64, height=96, seed=42).images[0]
    inside = views.alpha == 1
    for k in range(6):
        row, column = divmod(k, 2)
        tile = sheet[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert np.abs(views.rgb[k] - tile)[inside[k]].max(initial=0) < 1e-5
    assert inside.any()


#: Prints by how much a repeated first pass, and a second pass of strength 0, differ from the first.
REPEAT = """
import numpy as np
from img2mesh.artifacts import Cutout, DepthSet
from img2mesh.multiview import Sampling
from img2mesh.multiview.zero123plus.views import generate, refine

v, u = np.mgrid[0:64, 0:64] / 64
alpha = ((u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.14).astype(np.float32)
cutout = Cutout(np.stack([u, v, 0.5 + 0 * u], axis=-1).astype(np.float32), alpha)
how = dict(checkpoint=FOLDER, sampling=Sampling(steps=2, device="cpu"))
first = generate(cutout, normals=False, **how)
again = generate(cutout, normals=False, **how)
depth = np.full((6, 32, 32), np.nan, np.float32)
depth[:, 6:26, 8:24] = np.linspace(2, 3, 16)
second = refine(cutout, first, DepthSet(depth, first.cameras), strength=0.0, **how)
for views in (again, second):
    print(np.abs(views.rgb - first.rgb).max(), np.abs(views.alpha - first.alpha).max())
"""


def test_repeating_changes_no_bit_in_a_process_of_its_own(folder: str) -> None:
    """Same seed, same bits; and strength 0 draws the first pass again to the last bit."""
    code = REPEAT.replace("FOLDER", repr(folder))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    again, second = ([float(x) for x in line.split()] for line in done.stdout.splitlines())
    assert again == [0, 0]
    assert second == [0, 0]


def test_zero_strength_is_the_first_pass(
    folder: str, cutout: Cutout, views: ViewSet, depths: DepthSet
) -> None:
    again = refine(cutout, views, depths, checkpoint=folder, strength=0.0, sampling=QUICK)
    assert np.abs(again.rgb - views.rgb).max() < LAST_BITS
    assert np.abs(again.alpha - views.alpha).mean() < LAST_BITS


def test_refining_depends_on_depth_and_strength(
    folder: str, cutout: Cutout, views: ViewSet, depths: DepthSet
) -> None:
    def drawn(d: DepthSet, strength: float) -> np.ndarray:
        return refine(cutout, views, d, checkpoint=folder, strength=strength).rgb

    other = DepthSet(
        np.where(np.isfinite(depths.depth), depths.depth[..., ::-1], np.nan), depths.cameras
    )
    base = drawn(depths, 0.75)
    assert np.abs(base - views.rgb).max() > 0.01
    assert np.abs(base - drawn(depths, 0.5)).max() > 0.01
    assert np.abs(base - drawn(other, 0.75)).max() > 1e-3
    assert np.array_equal(base, drawn(depths, 0.75))


def test_same_seed_same_views_other_seed_others(
    folder: str, cutout: Cutout, views: ViewSet
) -> None:
    again = generate(cutout, checkpoint=folder)
    assert np.abs(again.rgb - views.rgb).max() < LAST_BITS
    other = generate(cutout, checkpoint=folder, sampling=replace(QUICK, seed=43))
    assert np.abs(other.rgb - views.rgb).max() > 0.01


def test_low_vram_draws_the_same(folder: str, cutout: Cutout, views: ViewSet) -> None:
    low = generate(cutout, checkpoint=folder, sampling=replace(QUICK, low_vram=True))
    assert np.abs(low.rgb - views.rgb)[views.alpha == 1].max() < 1e-3


def test_normals_come_from_a_second_run_over_the_first_sheet(
    folder: str, cutout: Cutout, monkeypatch: pytest.MonkeyPatch
) -> None:
    from img2mesh.multiview.zero123plus import model

    controls: list[Any] = []
    sample = model.Zero123Plus.sample

    def spy(self: Any, image: Any, control: Any, scale: float, **rest: Any) -> Any:
        controls.append((control, scale))
        return sample(self, image, control, scale, **rest)

    monkeypatch.setattr(model.Zero123Plus, "sample", spy)
    fractions: list[float] = []
    views = generate(
        cutout, checkpoint=folder, normals=True, progress=fractions.append, sampling=QUICK
    )
    first, second = controls
    assert first[0] is None and second[1] == 1.0
    assert isinstance(second[0], Image.Image) and second[0].size == (64, 96)
    assert views.normals is not None
    lengths = np.linalg.norm(views.normals, axis=-1)
    assert set(np.unique(lengths.round(3))) <= {0.0, 1.0}
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_capabilities_and_impossible_wishes(
    folder: str, bare: Path, cutout: Cutout, views: ViewSet, depths: DepthSet
) -> None:
    assert choices.capabilities(checkpoint=folder) == {"depth", "normals"}
    assert choices.capabilities(checkpoint="zero123plus-v1.1") == {"depth"}
    assert choices.capabilities(checkpoint="zero123plus-v1.2") == {"normals"}
    with pytest.raises(InputError, match=r"v1\.2 has no depth ControlNet; zero123plus-v1\.1"):
        refine(cutout, views, depths, checkpoint="zero123plus-v1.2")
    with pytest.raises(InputError, match=r"v1\.1 has no normals ControlNet; zero123plus-v1\.2"):
        generate(cutout, checkpoint="zero123plus-v1.1", normals=True)
    with pytest.raises(InputError, match=r"trained for the cameras of zero123plus-v1\.1"):
        refine(
            cutout,
            views,
            depths,
            checkpoint="zero123plus-v1.2",
            controlnet="zero123plus-v1.1-depth",
        )
    with pytest.raises(InputError, match="tiny has no depth ControlNet"):
        refine(cutout, views, depths, checkpoint=str(bare))
    net = str(Path(folder) / "controlnet")
    refined = refine(cutout, views, depths, checkpoint=str(bare), controlnet=net, sampling=QUICK)
    assert len(refined) == 6


def test_missing_weights_are_one_sentence(
    cutout: Cutout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMG2MESH_MODELS", str(tmp_path))
    with pytest.raises(InputError, match=r"models fetch zero123plus-v1\.2.*5\.6 GB.*CC-BY-NC"):
        generate(cutout, checkpoint="zero123plus-v1.2")
    with pytest.raises(InputError, match="neither a folder nor a known checkpoint"):
        generate(cutout, checkpoint="no-such-thing")


@pytest.mark.parametrize("wrong", [{"device": "cuda:99x"}, {"device": "abacus"}, {"steps": 0}])
def test_unusable_settings_are_refused(folder: str, cutout: Cutout, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        generate(cutout, checkpoint=folder, sampling=replace(QUICK, **wrong))


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("_class_name", "OtherPipeline", "expected Zero123PlusPipeline"),
        ("unet", ["evil", "Anything"], "names 'Anything' as unet"),
        ("ramping_coefficients", [0.1] * 76, "76 ramping_coefficients"),
        ("ramping_coefficients", [float("nan")] * 77, "finite"),
    ],
)
def test_index_is_read_as_data(
    part: str, value: Any, message: str, bare: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(bare, tmp_path / "z")
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: value}))
    with pytest.raises(InputError, match=message):
        Zero123Plus.load(folder)


@pytest.fixture(scope="module")
def torch_files(checkpoint: Callable[..., Path]) -> Path:
    """Other weights, the U-Net's as ``.bin``."""
    return checkpoint(seed=9, controlnets=(), torch_files=True)


def test_code_in_a_checkpoint_is_never_run(torch_files: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(torch_files, tmp_path / "z")
    for path in ("inference.py", "pipeline.py", "unet/modeling.py"):
        (folder / path).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert (folder / "unet/diffusion_pytorch_model.bin").is_file()
    Zero123Plus.load(folder)
    assert not (tmp_path / "ran").exists()


def test_drawing_touches_no_network(
    folder: str, cutout: Cutout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the network was used")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, forbidden)
    generate(cutout, checkpoint=folder, sampling=replace(QUICK, steps=1))


def test_other_unet_weights(folder: str, torch_files: Path) -> None:
    """As InstantMesh's: a bare U-Net file over a folder's configuration."""
    from img2mesh.diffusion import checkpoints

    record = checkpoints.locate(folder).record
    found = checkpoints.Located(
        record, Path(folder), torch_files / "unet" / "diffusion_pytorch_model.bin"
    )
    unet = Zero123Plus.from_located(found).parts.unet
    theirs = Zero123Plus.load(torch_files).parts.unet
    assert torch.equal(unet.conv_in.weight, theirs.conv_in.weight)


def test_a_taught_checkpoint_draws_a_ball_in_each_view(
    cutout: Cutout, checkpoint: Callable[..., Path]
) -> None:
    folder = checkpoint(BALLS, balls=True)
    v, u = (np.mgrid[0:64, 0:64] + 0.5) / 32 - 1
    disc = np.hypot(u, v) < RADIUS
    first = generate(cutout, checkpoint=str(folder))
    flat = DepthSet(np.where(disc, 2 + u, np.nan)[None].repeat(6, 0), first.cameras)
    second = refine(cutout, first, flat, checkpoint=str(folder))
    for views in (first, second):
        assert views.provenance.notes[-1:] != ("view 1 shows no object on its background",)
        for alpha in views.alpha:
            assert ((alpha > 0.5) & disc).sum() / ((alpha > 0.5) | disc).sum() > 0.85
    assert np.abs(first.rgb - second.rgb).max() > 1e-3


def test_damaged_weights_are_noticed(bare: Path) -> None:
    model = Zero123Plus.load(bare)
    model.parts.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(Img2MeshError, match="not finite"):
        model.sample(Image.new("RGB", (64, 64)), steps=1, width=64, height=96)


def test_identity_is_cheap_and_tells_weights_apart(folder: str, torch_files: Path) -> None:
    other = torch_files
    a, b = (choices.identity(checkpoint=str(f), steps=3) for f in (folder, other))
    assert a["checkpoint"] != b["checkpoint"]
    net = f"{folder}/controlnet"
    for settings, roles in (
        ({"controlnet": net}, {"checkpoint", "depth"}),
        ({"controlnet": net, "strength": 0.5}, {"checkpoint", "depth"}),
        ({"controlnet": net, "normals": False}, {"checkpoint"}),
    ):
        assert choices.identity(checkpoint=str(other), **settings).keys() == roles
    code = (
        "import sys; from img2mesh.multiview.zero123plus import choices as z; "
        f"z.identity(checkpoint={folder!r}); z.capabilities(checkpoint='zero123plus-v1.2'); "
        "assert not {'torch', 'diffusers', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
