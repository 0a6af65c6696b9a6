"""The Khronos validator on every GLB of the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.clients.conftest import CLIENTS
from tests.khronos import validate


def test_the_validator_finds_nothing(glb: Path, record_property: Callable[..., None]) -> None:
    """no errors, no warnings"""
    report = validate(glb.read_bytes(), CLIENTS / "node_modules")
    record_property("client", f"Khronos glTF validator {report['validatorVersion']}")
    issues = report["issues"]
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]
