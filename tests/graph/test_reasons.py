"""plan: per stage cached, or exactly one reason, and nothing runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from img2mesh.graph import Codec, Graph, Leaf, Store, stage
from tests.graph import toy
from tests.graph.toy import Number, Text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which the toy graph has run once."""
    store = Store(tmp_path)
    toy.run(store)
    return store


def graph_with(spelled: Any = toy.spelled) -> Graph:
    return Graph(source={"seed": Number}, stages=[toy.doubled, spelled, toy.signed])


def altered(**fields: Any) -> Any:
    """The stage ``spelled`` with other fields."""

    def spelled(doubled: Number) -> Text:
        return Text(())

    spelled.stage = replace(toy.spelled.stage, **fields)  # type: ignore[attr-defined]
    return spelled


def test_first_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    assert set(toy.reasons(store).values()) == {"first_run"}
    assert toy.sentence(store, "signed") == "there is no earlier result for this seed"
    assert not (tmp_path / "cache").exists()  # a plan leaves no trace


def test_cached(store: Store) -> None:
    toy.CALLS.clear()
    toy.LOADS.clear()
    assert set(toy.reasons(store).values()) == {None}
    assert (toy.CALLS, toy.LOADS) == ([], [])


def test_another_leaf_is_a_first_run(store: Store) -> None:
    assert set(toy.reasons(store, value=22).values()) == {"first_run"}


def test_setting_changed_and_what_follows(store: Store) -> None:
    changed = {"spelled": {"loudness": 5, "ends": (1, 2, 3)}}
    assert toy.reasons(store, changed) == {
        "doubled": None,
        "spelled": "settings",
        "signed": "upstream",
    }
    assert toy.sentence(store, "spelled", changed) == "setting loudness changed from 4.0 to 5.0"
    assert toy.sentence(store, "signed", changed) == "spelled runs first"
    tuples = {"spelled": {"ends": (1, 2, 3)}}
    assert toy.sentence(store, "spelled", tuples) == (
        "setting ends changed from [1, 2] to (1, 2, 3)"
    )


def test_the_own_change_comes_before_the_upstream(store: Store) -> None:
    changed = {"doubled": {"factor": 3}, "signed": {"author": "me"}}
    assert toy.reasons(store, changed) == {
        "doubled": "settings",
        "spelled": "upstream",
        "signed": "settings",
    }
    assert toy.sentence(store, "signed", changed) == "setting author changed from None to 'me'"


def test_the_most_recently_used_result_is_the_one_compared_with(store: Store) -> None:
    toy.run(store, {"spelled": {"loudness": 7}})
    assert toy.sentence(store, "spelled", {"spelled": {"loudness": 9}}) == (
        "setting loudness changed from 7.0 to 9.0"
    )
    toy.run(store)  # reused: now this is the most recent one
    assert toy.sentence(store, "spelled", {"spelled": {"loudness": 9}}) == (
        "setting loudness changed from 4.0 to 9.0"
    )


def test_version_changed(store: Store) -> None:
    graph = graph_with(altered(version=4))
    assert toy.reasons(store, graph=graph) == {
        "doubled": None,
        "spelled": "version",
        "signed": "upstream",
    }
    assert toy.sentence(store, "spelled", graph=graph) == (
        "the stage's version changed from 3 to 4"
    )


def test_identity_changed(store: Store) -> None:
    graph = graph_with(altered(identity=lambda **_: {"speller": "en-2"}))
    assert toy.reasons(store, graph=graph)["spelled"] == "identity"
    assert toy.sentence(store, "spelled", graph=graph) == (
        "the backend's speller changed from 'en-1' to 'en-2'"
    )


def test_input_changed(store: Store) -> None:
    changed = {"doubled": {"factor": 3}}
    toy.runner(store, changed).run("spelled", {"seed": toy.leaf(21)})  # signed is left behind
    assert toy.reasons(store, changed) == {"doubled": None, "spelled": None, "signed": "inputs"}
    assert toy.sentence(store, "signed", changed) == (
        "spelled is not the one the earlier result was made from"
    )


def test_a_changed_leaf_among_others_is_named(store: Store) -> None:
    runner = toy.runner(store)
    number = toy.leaf(5)
    runner.run("signed", {"doubled": number, "spelled": Leaf("a", lambda: Text(("a",)))})
    given = {"doubled": number, "spelled": Leaf("b", lambda: Text(("b",)))}
    (one,) = runner.plan("signed", given)
    assert one.reason is not None
    assert (one.reason.kind, one.reason.name) == ("inputs", "spelled")


def test_forced(store: Store) -> None:
    assert toy.reasons(store, force={"spelled"}) == {
        "doubled": None,
        "spelled": "forced",
        "signed": "upstream",
    }
    assert toy.sentence(store, "spelled", force={"spelled"}) == "it was asked to run again"


def test_damaged_before_and_after_it_was_set_aside(store: Store) -> None:
    (toy.folder_of(store, "spelled") / "words" / "000.txt").write_text("xx")
    expected = {"doubled": None, "spelled": "damaged", "signed": "upstream"}
    assert toy.reasons(store) == expected
    assert toy.reasons(store) == expected  # a plan repairs nothing
    assert toy.sentence(store, "spelled") == (
        "the cached result is damaged (words/000.txt altered)"
    )
    ((item, wrong),) = store.verify()
    assert (item.stage, wrong) == ("spelled", "words/000.txt altered")
    assert toy.reasons(store) == expected
    assert "quarantine" in toy.sentence(store, "spelled")


def test_a_format_nobody_knows(store: Store) -> None:
    codecs = dict(toy.CODECS)
    codecs[Number] = Codec(2, toy.save_number, toy.load_number)
    assert toy.reasons(store, codecs=codecs) == {
        "doubled": "format",
        "spelled": "upstream",
        "signed": "upstream",
    }
    assert "version 1 of its files" in toy.sentence(store, "doubled", codecs=codecs)


def test_no_cache() -> None:
    plan = toy.runner(None).plan("signed", {"seed": toy.leaf(1)})
    assert {one.reason.kind for one in plan if one.reason} == {"no_cache"}
    assert len(plan) == 3


def test_the_plan_is_what_then_happens(store: Store) -> None:
    """Over a number of mishaps and changes: what the plan calls cached never runs."""
    changes: list[tuple[Any, dict[str, Any]]] = [
        (None, {}),
        ({"signed": {"author": "a"}}, {}),
        ({"doubled": {"factor": 5}}, {"value": 3}),
        (None, {"force": {"doubled"}}),
        (None, {"graph": graph_with(altered(identity=None))}),
    ]
    for settings, more in changes:
        planned = toy.reasons(store, settings, **more)
        ran = toy.run(store, settings, **more)
        assert set(ran) <= {name for name, kind in planned.items() if kind}
        assert {name for name, kind in planned.items() if kind not in (None, "upstream")} <= set(
            ran
        )
        assert set(toy.reasons(store, settings, **(more | {"force": ()})).values()) == {None}


def test_a_stage_after_which_others_keep_their_results(store: Store) -> None:
    """A stage whose new version makes the same as before costs only itself."""

    @stage(version=2)
    def doubled(seed: Number, *, factor: int = 2) -> Number:
        toy.CALLS.append("doubled")
        return Number(seed.value * factor)

    assert toy.run(store, force={"doubled"}) == ["doubled"]
    graph = Graph(source={"seed": Number}, stages=[doubled, toy.spelled, toy.signed])
    # Its key is another, though, and so are those that hang on it: recipes, not contents.
    assert toy.run(store, graph=graph) == ["doubled", "spelled", "signed"]


def test_a_runner_that_need_not_explain_does_not_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Store, stage: str = "*") -> list[Any]:
        raise AssertionError("it looked through the whole cache")

    store = Store(tmp_path)
    toy.run(store)
    monkeypatch.setattr(Store, "items", refuse)
    runner = toy.runner(store, explain=False)
    plan = runner.plan("signed", {"seed": toy.leaf(22)})
    assert [step.cached for step in plan] == [False] * 3
    runner.run("signed", {"seed": toy.leaf(22)})
    assert all(step.cached for step in runner.plan("signed", {"seed": toy.leaf(22)}))
