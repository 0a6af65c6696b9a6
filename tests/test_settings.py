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


def test_a_renamed_setting_has_one_name() -> None:
    known = {*PIPELINE.order}
    known |= {f"{name}.{one}" for name in PIPELINE.order for one in PIPELINE.stages[name].settings}
    for old, new in settings.RENAMED.items():
        assert len({old, new} & known) == 1, f"{old} or {new}: one of them is a name"
    with pytest.raises(InputError, match="'fog_steps' is called 'density_steps' now"):
        settings.resolve(PIPELINE, assignments=["radiance.fog_steps=0"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("asset.scale=.5", 0.5),
        ("surface.target_faces=1_000", 1000),
        ("radiance.density_steps=007", 7),
        ("radiance.density_steps=1", 1),
        ("radiance.use_photo=1", True),
        ("radiance.use_photo=FALSE", False),
        ("radiance.relax_px=None", None),
        ("cutout.model=1234", "1234"),
        ('cutout.model="a b"', "a b"),
        ("cutout.model=/a b/c", "/a b/c"),
        ("views.generator=no", "no"),
    ],
)
def test_a_text_is_read_as_a_word_as_toml_or_as_itself(text: str, value: object) -> None:
    stage, _, rest = text.partition(".")
    merged = settings.resolve(PIPELINE, assignments=[text])
    assert merged == {stage: {rest.partition("=")[0]: value}}
    assert type(merged[stage][rest.partition("=")[0]]) is type(value)


@pytest.mark.parametrize("raw", ["[" * 100_000, "9" * 400, "nan", "inf", "1\nx = 2"])
def test_no_text_is_too_odd(raw: str) -> None:
    with pytest.raises(InputError, match=r"asset\.scale expects float"):
        settings.resolve(PIPELINE, assignments=[f"asset.scale={raw}"])
