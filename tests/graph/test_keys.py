"""Keys: stable for ever, blind to how a value is spelled, and to where it is computed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from img2mesh.graph import Leaf, Store
from img2mesh.graph.manifest import fingerprint
from tests.graph import toy


def keys(settings: Any = None, value: int = 21, **more: Any) -> dict[str, str]:
    plan = toy.runner(None, settings, **more).plan("signed", {"seed": toy.leaf(value)})
    return {one.stage: one.key for one in plan}


def test_keys_never_change() -> None:
    """If this fails, every cache in the world is lost: was that meant? Then bump ENGINE."""
    assert keys() == {
        "doubled": "fd9e42137cbcb71b9e405ca042ff25de",
        "spelled": "710019afe0ca20f7d70a2b681de9f180",
        "signed": "02e5a4193ac0ec190e3e18b8ed5284ec",
    }


def test_the_fingerprint_is_that_of_the_canonical_json() -> None:
    # printf '{"a":[1,2.5,null],"b":"\\u00e9"}' | b2sum -l 128
    expected = "11d5bfeb3f708bf8a050947a2db90680"
    assert fingerprint({"b": "é", "a": (1, 2.5, None)}) == expected
    assert fingerprint({"a": [1, 2.5, None], "b": "é"}) == expected
    with pytest.raises(ValueError, match="JSON"):
        fingerprint(math.nan)


def test_the_same_number_in_another_spelling_is_the_same_key() -> None:
    assert keys({"spelled": {"loudness": 4}}) == keys({"spelled": {"loudness": 4.0}}) == keys()
    assert keys({"spelled": {"ends": [1, 2]}}) == keys()
    assert keys({"doubled": {"factor": 2.0}}) == keys()


def test_where_and_how_are_in_no_key() -> None:
    assert keys(device="cuda:1", force={"doubled"}, versions={"numpy": "9"}) == keys()


def test_every_setting_version_identity_and_leaf_is_in_the_keys_from_there_on() -> None:
    base = keys()

    def changed(other: dict[str, str]) -> list[str]:
        return [name for name in base if base[name] != other[name]]

    assert changed(keys({"doubled": {"factor": 3}})) == ["doubled", "spelled", "signed"]
    assert changed(keys({"spelled": {"loudness": 4.5}})) == ["spelled", "signed"]
    assert changed(keys({"signed": {"author": "me"}})) == ["signed"]
    assert changed(keys(value=22)) == ["doubled", "spelled", "signed"]


def test_a_leaf_in_the_middle_takes_part_with_its_digest(tmp_path: Any) -> None:
    runner = toy.runner(Store(tmp_path))
    words = toy.Text(("hello",))

    def key(digest: str) -> str:
        given = {"spelled": Leaf(digest, lambda: words), "doubled": Leaf("d", lambda: None)}
        (one,) = runner.plan("signed", given)
        return one.key

    assert key("a") == key("a")
    assert key("a") != key("b")
    # A leaf's digest is never taken for a stage's key, even where they read the same.
    whole = keys()
    given = {name: Leaf(whole[name], lambda: words) for name in ("spelled", "doubled")}
    assert runner.plan("signed", given)[0].key != whole["signed"]
