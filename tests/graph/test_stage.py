"""Reading signatures, and the one form of every setting."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph import Run, stage
from img2mesh.graph.stage import normalise, unknown
from tests.graph.toy import Number, Text, doubled, spelled


def test_the_function_stays_itself() -> None:
    assert doubled(Number(4), factor=3) == Number(12)
    assert spelled(Number(1)).words[:2] == ("en", "1")  # run=None works as from plain Python


def test_a_signature_says_it_all() -> None:
    found = spelled.stage
    assert found.name == "spelled"
    assert found.version == 3
    assert dict(found.inputs) == {"doubled": Number}
    assert found.output is Text
    assert found.doc == "Write it out."
    assert found.takes_run
    assert not doubled.stage.takes_run
    assert [(s.name, s.annotation, s.default) for s in found.settings.values()] == [
        ("language", str, "en"),
        ("loudness", float, 4.0),
        ("ends", tuple[int, ...], (1, 2)),
    ]


def no_annotation(number, *, n: int = 1) -> Number: ...  # type: ignore[no-untyped-def, empty-body]
def any_number(*numbers: Number) -> Number: ...  # type: ignore[empty-body]
def no_default(number: Number, *, n: int) -> Number: ...  # type: ignore[empty-body]
def optional_artifact(number: Number = Number(1)) -> Number: ...  # type: ignore[empty-body]  # noqa: B008
def positional_run(number: Number, run: Run | None) -> Number: ...  # type: ignore[empty-body]
def renamed_run(number: Number, *, go: Run | None = None) -> Number: ...  # type: ignore[empty-body]
def no_return(number: Number): ...  # type: ignore[no-untyped-def]
def nan_default(number: Number, *, n: float = math.nan) -> Number: ...  # type: ignore[empty-body]
def odd_setting(number: Number, *, n: dict[str, int] = {}) -> Number: ...  # type: ignore[empty-body]  # noqa: B006


@pytest.mark.parametrize(
    "function",
    [
        no_annotation,
        any_number,
        no_default,
        optional_artifact,
        positional_run,
        renamed_run,
        no_return,
        nan_default,
        odd_setting,
    ],
)
def test_a_signature_that_cannot_be_wired_is_refused_by_name(function: Any) -> None:
    with pytest.raises(Img2MeshError, match=function.__name__):
        stage(version=1)(function)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (4, float, 4.0),
        (-0.0, float, 0.0),
        (4.0, int, 4),
        (1, float | int, 1),
        (1.0, float | int, 1.0),
        (None, str | None, None),
        (3, float | None, 3.0),
        ([1, 2.0], tuple[int, ...], (1, 2)),
        ((1, "a"), tuple[float, str], (1.0, "a")),
        ((True,), list[bool], [True]),
        ("b", Literal["a", "b"], "b"),
    ],
)
def test_settings_take_the_form_of_their_annotation(value: Any, kind: Any, expected: Any) -> None:
    found = normalise(value, kind, "a setting")
    assert found == expected
    assert type(found) is type(expected)
    assert str(found) == str(expected)  # tells 0.0 from −0.0, and 1 from 1.0 inside tuples


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (math.nan, float),
        (math.inf, float),
        (4.5, int),
        (True, int),
        (1, bool),
        (1, str),
        ("1", int),
        ("", int | None),
        (None, str),
        ((1, 2, 3), tuple[int, int]),
        ("c", Literal["a", "b"]),
        (object(), Any),
    ],
)
def test_settings_that_do_not_fit_are_errors(value: Any, kind: Any) -> None:
    with pytest.raises(InputError, match=r"stage\.setting must be"):
        normalise(value, kind, "stage.setting")


def test_unknown_names_get_a_suggestion() -> None:
    assert unknown("stage", "veiws", ["views", "asset"]) == (
        "unknown stage 'veiws'; did you mean 'views'? there are: views, asset"
    )
    with pytest.raises(InputError, match="did you mean 'loudness'"):
        spelled.stage.resolve({"loudnes": 3.0})


def test_a_run_of_ones_own(tmp_path: Any) -> None:
    run = Run()
    assert run.device == "auto"
    run.progress(0.3)  # silent
    kept = run.scratch
    assert kept.is_dir()
    assert run.scratch == kept
    run.note("a")
    run.note("b")
    run.note("a")
    assert run.notes == ["a", "b"]
    del run
    assert not kept.exists()
    told: list[tuple[float, str]] = []
    listened = Run("cpu", tmp_path / "not" / "yet", lambda *one: told.append(one))
    assert not (tmp_path / "not").exists()  # made on first use only
    listened.progress(7.0, "much")
    listened.progress(-1)
    assert told == [(1.0, "much"), (0.0, "")]
