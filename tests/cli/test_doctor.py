"""``img2mesh doctor`` and ``img2mesh models`` on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import Command


def test_it_finds_the_needed_libraries(command: Command) -> None:
    findings = json.loads(command("doctor", "--json").stdout)
    states = {finding["name"]: finding["state"] for finding in findings}
    assert states["torch"] == states["open3d"] == states["device"] == "ok"
    assert all(f["advice"] for f in findings if f["state"] == "broken")


def test_what_is_broken_ends_with_1(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2mesh.cli.doctor._NEEDED", ("no_such_library",))
    done = command("doctor")
    assert done.returncode == 1 and "no_such_library" in done.stdout
    assert "pip install img2mesh" in done.stdout


def test_models_are_listed_and_nothing_is_there_to_verify(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMG2MESH_MODELS", str(tmp_path / "models"))
    rows = {row["name"]: row for row in json.loads(command("models", "list", "--json").stdout)}
    assert rows["zero123plus-v1.1"]["state"] == "absent"
    assert rows["zero123plus-v1.1"]["licence"] in command("models", "list").stdout
    done = command("models", "verify")
    assert done.returncode == 0 and "no checkpoint is here" in done.stdout
    assert json.loads(command("models", "verify", "--json").stdout) == []
    done = command("models", "fetch", "zero123plus-v1.1", "--offline")
    assert done.returncode == 2 and "offline" in done.stderr


def test_the_gpu_alone_and_where_to_check_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    (device,) = json.loads(command("doctor", "--gpu", "--json").stdout)
    assert device["name"] == "device" and "a torch built for CUDA" in device["advice"]
    card = SimpleNamespace(total_memory=4e9, major=6, minor=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    found = {one["name"]: one for one in json.loads(command("doctor", "--gpu", "--json").stdout)}
    assert "--low-vram" in found["GPU memory"]["advice"]
    assert "float32" in found["half precision"]["found"]
    assert "scripts/gpu_check.py" in found["whole check"]["advice"]
