"""Settings merge in order, keep their types, and refuse what the pipeline does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from img2mesh import settings
from img2mesh.errors import InputError
from img2mesh.pipeline import PIPELINE


def test_every_preset_fits_the_pipeline() -> None:
    assert {"draft", "default", "high", "game"} <= set(settings.preset_names())
    for name in settings.preset_names():
        settings.resolve(PIPELINE, settings.load_preset(name))


def test_later_layers_win_and_assignments_win_over_all() -> None:
    merged = settings.resolve(
        PIPELINE,
        {"radiance": {"grid": 80}, "surface": {"target_faces": 1000}},
        {"radiance": {"grid": 96}},
        assignments=["radiance.grid=64"],
    )
    assert merged == {"radiance": {"grid": 64}, "surface": {"target_faces": 1000}}


def test_text_takes_the_settings_type() -> None:
    merged = settings.resolve(
        PIPELINE,
        assignments=[
            "cutout.remove-background=no",
            "cutout.model=none",
            "asset.scale=2",
            "views.generator=geometric",
        ],
    )
    assert merged == {
        "cutout": {"remove_background": False, "model": None},
        "asset": {"scale": 2.0},
        "views": {"generator": "geometric"},
    }
    assert type(merged["asset"]["scale"]) is float


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("radianse.grid=3", ["radianse", "did you mean 'radiance'"]),
        ("radiance.gird=3", ["gird", "did you mean 'grid'"]),
        ("radiance.grid=many", ["radiance.grid", "int", "'many'"]),
        ("radiance.grid=1.5", ["int", "'1.5'"]),
        ("radiance=3", ["stage.setting=value"]),
        ("radiance.grid", ["stage.setting=value"]),
    ],
)
def test_mistakes_are_named(assignment: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        settings.resolve(PIPELINE, assignments=[assignment])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_unknown_preset_suggests_one() -> None:
    with pytest.raises(InputError, match="did you mean 'default'"):
        settings.load_preset("defalt")


@pytest.mark.parametrize(
    ("content", "words"), [("[radiance\n", "not a TOML file"), ("grid = 3\n", "must be a \\[table")]
)
def test_broken_config_files_are_named(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        settings.load_config(path)


def test_a_wrong_type_in_a_config_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[radiance]\ngrid = "big"\n')
    with pytest.raises(InputError, match=r"radiance\.grid expects int, got 'big'"):
        settings.resolve(PIPELINE, settings.load_config(path))
