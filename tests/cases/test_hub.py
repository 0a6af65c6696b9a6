"""The hub without a network: one sentence that names the host and the way around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command

hub = pytest.importorskip("huggingface_hub")


class ConnectError(Exception):
    """As the hub's client below raises it: no OSError, no error of the hub's."""


@pytest.mark.parametrize(
    "error", [ConnectError("[Errno 111] Connection refused"), OSError("no route"), RuntimeError()]
)
def test_a_host_that_cannot_be_reached(
    error: Exception, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Api:
        def model_info(self, *given: object, **more: object) -> None:
            raise error

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("IMG2MESH_MODELS", str(tmp_path / "models"))
    done = command("models", "fetch", "zero123plus-v1.2")
    assert done.returncode == 1
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("img2mesh:")]
    assert "http://127.0.0.1:9 cannot be reached" in sentence and "copy the folder" in sentence
