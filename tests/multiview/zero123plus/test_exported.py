"""What the trainers write is an official folder: golden parity, ``run`` on it, and adapters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

pytest.importorskip("accelerate")

from img2mesh.diffusion import adapters
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus import Zero123Plus
from img2mesh.multiview.zero123plus.components import load_components, load_controlnet
from img2mesh.training.diffusion.commands import train_zero123, train_zero123plus
from img2mesh.training.diffusion.export import export_sheets, note_of
from img2mesh.training.diffusion.options import Options
from tests.conftest import Command
from tests.training.diffusion.fakes import write_pairs, write_sheets

OPTIONS = Options(steps=2, rate=0.03, warmup=0, averaging=0.0, readers=1, full_precision=True)


@pytest.fixture(scope="module")
def exported(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden weights, as the trainer of ControlNets writes what it trained."""
    out = tmp_path_factory.mktemp("exported") / "model"
    parts, net = load_components(golden / "checkpoint"), load_controlnet(golden / "controlnet")
    config = {k: v for k, v in dict(net.config).items() if not k.startswith("_")}
    note = note_of(golden / "checkpoint", ("CC0-1.0",), "said", rig="zero123plus-v1.1", tile=32)
    return export_sheets(
        golden / "checkpoint", out, parts.unet.state_dict(), parts.ramping, note,
        controlnet=("controlnet", {"_class_name": "ControlNetModel", **config}, net.state_dict()),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["base", "depth", "nocfg", "n2"])
def test_an_exported_folder_gives_the_golden_results(
    name: str, exported: Path, run_case: Callable[..., Any]
) -> None:
    net = exported / "controlnet" if name == "depth" else None
    deviations = run_case(name, model=Zero123Plus.load(exported, net)).deviations()
    assert {n: d for n, d in deviations.items() if not d < 1e-4} == {}
    assert len(deviations) >= 12, "hardly anything was compared"


@pytest.fixture(scope="module")
def trained(
    checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A checkpoint and the folder of a run that trained adapters on it; and a photo beside."""
    home, base = tmp_path_factory.mktemp("trained"), checkpoint()
    renders = write_sheets(home / "renders")
    train_zero123plus(renders, base, home, OPTIONS, lora=2, note=lambda line: None)
    v, u = (np.mgrid[0:64, 0:64] + 0.5) / 32 - 1
    rgba = np.dstack([0.6 + 0.3 * u, 0.5 - 0.3 * v, 0.4 + 0 * u, np.hypot(u, v) < 0.7])
    Image.fromarray(np.rint(rgba * 255).astype(np.uint8)).save(home / "toy.png")
    return base, home


def test_run_takes_what_was_trained_as_a_folder_or_as_an_adapter(
    trained: tuple[Path, Path], in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, home = trained
    monkeypatch.chdir(home)
    flags = ["run", "toy.png", "--cache-dir", "cache", "--json", "--offline", "--steps", "1"]
    flags += ["--until", "refined"]

    def views(out: str, *more: str) -> tuple[np.ndarray, dict[str, Any]]:
        done = in_process(*flags, "-o", out, *more)
        assert done.returncode == 0, done.stderr
        picture = np.asarray(Image.open(Path(out) / "toy" / "refined.png"), float)
        return picture, json.loads(done.stdout)

    whole, report = views("a", "--generator", "model")
    assert report["generator"] == "model" and report["learned_weights"]
    assert report["licences"] == ["start weights: none: random; meshes: CC0-1.0"]
    adapted = ["--generator", str(base), "--lora", "lora.safetensors"]
    added, report = views("b", *adapted)
    assert np.abs(added - whole).max() <= 1
    assert report["licences"] == ["none: random", "adapter: meshes: CC0-1.0"]
    notes = json.dumps(report["warnings"] + report.get("notes", []))
    assert "with the adapter lora.safetensors: adapters of rank 2, 2 steps, 3 objects" in notes
    # The file's content is in the key, its name is not enough.
    state, header = load_file("lora.safetensors"), adapters.describe("lora.safetensors").header()
    nothing = {k: torch.zeros_like(v) for k, v in state.items()}
    save_file(nothing, "lora.safetensors", metadata=header)
    plain, report = views("c", *adapted)
    assert not report["cached"]["views"] and np.abs(added - plain).max() > 1
    save_file(state, "lora.safetensors", metadata=header)


@pytest.mark.parametrize(
    ("names", "header", "generator", "said"),
    [
        ({"lora_unet_a.lora_down.weight": (2, 4)}, {}, "base", "lora_unet_a.lora_down.weight"),
        ({"text_model.a.lora_A.weight": (2, 4)}, {}, "base", "should be called unet.PATH"),
        ({}, {"img2mesh": "7"}, "base", "cannot be understood"),
        ({}, {"lora_adapter_metadata": '{"unet.r": 4, "unet.lora_alpha": 8}'}, "base", "8 / 4"),
        ({}, adapters.Adapter("zero123").header(), "base", "of the kind zero123,"),
        ({}, {}, "learned", "learned is none"),
        (None, {}, "base", "cannot be read as an adapter"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence_before_any_work(
    names: dict[str, tuple[int, int]] | None,
    header: dict[str, str],
    generator: str,
    said: str,
    trained: tuple[Path, Path],
    tmp_path: Path,
    in_process: Command,
) -> None:
    base, home = trained
    file = tmp_path / "own.safetensors"
    if names is None:
        file.write_bytes(b"PK no weights")
    else:
        good = {"unet.mid_block.attentions.0.proj_in.lora_A.weight": (2, 32)}
        save_file({k: torch.ones(v) for k, v in (names or good).items()}, file, metadata=header)
    chosen = str(base) if generator == "base" else generator
    done = in_process(
        "run", str(home / "toy.png"), "--generator", chosen, "--lora", str(file),
        "--cache-dir", str(tmp_path / "cache"), "-o", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert done.stderr.count("img2mesh: ") == 1 and not (tmp_path / "cache").exists()


def test_kinds_that_take_no_adapter_are_refused(trained: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="syncdreamer is of the kind diffusers: leave it"):
        adapters.require_fitting(trained[1] / "lora.safetensors", "diffusers", "syncdreamer")


def test_layers_that_do_not_fit_are_named(trained: tuple[Path, Path]) -> None:
    base, home = trained
    unet = load_components(base).unet
    state = load_file(home / "lora.safetensors")
    name = next(k for k in state if "lora_B" in k)
    path = name.removeprefix("unet.").removesuffix(".lora_B.weight")
    before = {k: v.clone() for k, v in unet.state_dict().items()}
    with pytest.raises(InputError, match=f"its layer {path} is 3 x 16, the network has 16 x 16"):
        adapters.merge(unet, {**state, name: torch.zeros(3, 2)})
    with pytest.raises(InputError, match="no such layer"):
        adapters.merge(unet, {f"unet.x.lora_{h}.weight": torch.zeros(2, 2) for h in "AB"})
    with pytest.raises(InputError, match=f"only half of the layer {path}"):
        adapters.merge(unet, {k: v for k, v in state.items() if k != name})
    for key, value in unet.state_dict().items():
        assert torch.equal(value, before[key]), "nothing is half added"


def test_adapters_of_zero_1_to_3_are_added_too(tmp_path: Path, in_process: Command) -> None:
    from img2mesh.multiview.zero123 import Zero123
    from tests.models.tiny_zero123 import make_zero123

    base = make_zero123(tmp_path / "base")
    renders = write_pairs(tmp_path / "renders")
    options = replace(OPTIONS, drop=0.05)
    model = train_zero123(renders, base, tmp_path, options, lora=2, note=lambda line: None)
    assert "meshes: CC0-1.0" in json.loads((model / "img2mesh.json").read_text())["licence"]
    file, picture = tmp_path / "lora.safetensors", renders / "thing0" / "000.png"
    drawn = [
        one.sample(picture, 0.0, 90.0, steps=2, width=64, height=64).latents
        for one in (Zero123.load(model), Zero123.load(base, lora=file), Zero123.load(base))
    ]
    assert (drawn[0] - drawn[1]).abs().max() < 1e-4 < (drawn[1] - drawn[2]).abs().max()
    flags = ["run", str(picture), "--generator", str(base), "--elevation", "0", "--steps", "1",
             "--no-cache", "--json", "--until", "views", "-o", str(tmp_path)]  # fmt: skip
    done = in_process(*flags, "--lora", str(file))
    assert done.returncode == 0, done.stderr
    assert "adapter: meshes: CC0-1.0" in json.loads(done.stdout)["licences"]
    closed = adapters.Adapter("zero123", "CC-BY-NC-4.0").header()
    save_file(load_file(file), file, metadata=closed)
    (base / "img2mesh.json").write_text(json.dumps({"licence": "CC0-1.0", "commercial": True}))
    done = in_process(*flags, "--lora", str(file), "--commercial-only")
    assert done.returncode == 2 and "CC-BY-NC-4.0" in done.stderr
