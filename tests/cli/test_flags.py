"""The table of flags: what it offers, that its numbers are the signatures', where its values go."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import pytest

from img2mesh import cli
from img2mesh.batch.scheduler import Policy
from img2mesh.cli import doctor, flags
from img2mesh.cli.batch import OWN
from img2mesh.core.rigs import RIGS
from img2mesh.evaluation import compare_meshes
from img2mesh.io.gltf import TEXTURE_FORMATS
from img2mesh.jobs.request import COMPRESSIONS, MESH_FORMATS, output_options, request_from
from img2mesh.pipeline import PIPELINE
from img2mesh.settings import preset_names
from tests.conftest import ROOT, Command

#: Every command that the contract names and there is.
CONTRACT = {
    "run", "reconstruct", "distill", "plan", "stages", "batch", "serve", "doctor", "models list",
    "models fetch", "models verify", "cache list", "cache show", "cache verify", "cache trim",
    "eval mesh", "eval views", "eval suite", "render", "train shape", "train zero123plus",
    "train controlnet", "train zero123",
}  # fmt: skip


def commands(group: click.Group = cli.app, before: str = "") -> dict[str, click.Command]:
    """Every command that does something, by what a user writes."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        inner = isinstance(command, click.Group)
        found |= commands(command, f"{name} ") if inner else {before + name: command}  # type: ignore[arg-type]
    return found


SETTING_ROWS = [row for row in flags.ROWS.values() if row.settings]


def test_the_contract_s_commands_are_there() -> None:
    assert set(commands()) == CONTRACT


@pytest.mark.parametrize("name", ["", "models", "cache", "eval", *sorted(CONTRACT)])
def test_every_command_has_help(name: str, command: Command) -> None:
    done = command(*name.split(), "--help")
    assert done.returncode == 0 and done.stdout.startswith("Usage: img2mesh")


def test_help_loads_nothing_heavy() -> None:
    """Of every command, in one process that has loaded nothing else."""
    code = (
        "import contextlib, io, sys, img2mesh.cli as c\n"
        f"for name in {sorted(CONTRACT)!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        c.main([*name.split(), '--help'])\n"
        "heavy = 'numpy PIL torch diffusers transformers open3d cv2 scipy trimesh nerfacc rich '\n"
        "heavy += 'starlette uvicorn ray img2mesh.pipeline'\n"
        "print(sorted(set(heavy.split()) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_contract_s_flags_are_there(command: Command) -> None:
    text = command("run", "--help").stdout
    for flag in (
        "--output-dir", "-o", "--preset", "--config", "--set", "--generator", "--mask",
        "--no-remove-bg", "--no-rembg", "--foreground-ratio", "--seed", "--mc-resolution",
        "--target-faces", "--texture-resolution", "--format", "--turntable", "--device",
        "--frame", "--until", "--from", "--force", "--cache-dir", "--no-cache", "--json", "-q",
        "-v", "--pivot", "--scale", "--steps", "--guidance-scale", "--low-vram", "--offline",
        "--commercial-only",
    ):  # fmt: skip
        assert flag in text, flag


def test_plan_takes_what_run_and_reconstruct_take() -> None:
    taken = {name: {one.name for one in command.params} for name, command in commands().items()}
    assert taken["run"] | taken["reconstruct"] <= taken["plan"] | {"inputs"}


@pytest.mark.parametrize("row", SETTING_ROWS, ids=lambda row: row.name)
def test_a_stated_default_is_the_signature_s(row: flags.Option) -> None:
    settings = [setting.partition(".") for setting in row.settings]
    declared = [PIPELINE.stages[stage].settings[name] for stage, _, name in settings]
    defaults = {setting.default for setting in declared}
    assert len(defaults) == 1, "one flag states one default"
    stated = re.search(r"\[default: (.*)\]", " ".join(help_of(row)))
    if row.is_flag:
        assert stated is None
        assert row.secondary_opts or row.sets is not declared[0].default, "it changes something"
    elif defaults == {None}:
        assert stated is None, "nothing is nothing to state"
    else:
        assert stated is not None and stated[1].partition("; ")[0] == str(*defaults)
    assert "default" not in (row.help or "") and row.default is None
    if isinstance(row.metavar, str) and "|" in row.metavar:
        kind = declared[0].annotation
        # A setting that may be nothing lists its words inside the union.
        words = kind if get_origin(kind) is Literal else get_args(kind)[0]
        assert tuple(row.metavar.split("|")) == get_args(words)


def help_of(row: click.Option) -> tuple[str, str]:
    record = row.get_help_record(click.Context(click.Command("any")))
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (request_from, flags.ROWS.values()),
        (output_options, flags.ROWS.values()),
        (Policy, OWN),
        (compare_meshes, commands()["eval mesh"].params),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_other_defaults_are_their_function_s(function: Any, rows: Any) -> None:
    parameters = inspect.signature(function).parameters
    found = [row for row in rows if row.name in parameters and isinstance(row, click.Option)]
    assert found
    for row in found:
        expected = parameters[row.name].default
        if row.default is not None and expected is not inspect.Parameter.empty:
            assert row.default == expected, row.name


def test_names_in_the_help_are_those_there_are() -> None:
    assert flags.ROWS["texture_format"].metavar == "|".join(TEXTURE_FORMATS)
    assert flags.ROWS["compress"].metavar == "|".join(COMPRESSIONS)
    for row, names in (("formats", MESH_FORMATS), ("preset", preset_names()), ("rig", RIGS)):
        assert all(name in (flags.ROWS[row].help or "") for name in names)


@pytest.mark.parametrize("name", ["run", "reconstruct", "plan", "batch", "serve"])
def test_every_flag_goes_somewhere(name: str) -> None:
    """To a setting, the request, the files, or the command itself."""
    command = commands()[name]
    body = inspect.signature(command.callback).parameters  # type: ignore[arg-type]
    ends = {*inspect.signature(request_from).parameters, *body}
    ends |= set(inspect.signature(output_options).parameters)
    mine = {"output_dir", "as_json", "quiet", "verbose", "normals", "photo", "rig", "group", "mask"}
    mine |= {"text", "text_model"} if name in flags.DRAWING else set()
    mine |= {row.name for row in OWN}
    for one in command.params:
        reaches = one.name in ends | mine or getattr(one, "settings", ())
        assert reaches, f"--{one.name} of {name} is read by nobody"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--output_dir", "x", "a_b.png"], {"output_dir": Path("x"), "inputs": ("a_b.png",)}),
        (["--output_dir=a_b", "p.png"], {"output_dir": Path("a_b")}),
        (["--mc_resolution=7", "p.png"], {"mc_resolution": 7}),
        (["--force", "views", "p.png"], {"force": "views", "inputs": ("p.png",)}),
        (["--force", "p.png"], {"force": "all", "inputs": ("p.png",)}),
        (["p.png", "--force"], {"force": "all", "inputs": ("p.png",)}),
        (["--force=asset", "p.png"], {"force": "asset"}),
        (["--force", "--json", "p.png"], {"force": "all", "as_json": True}),
        (["--", "--output_dir", "--force"], {"inputs": ("--output_dir", "--force"), "force": None}),
        (["--no-rembg", "p.png"], {"no_remove_bg": True}),
        (["--from", "asset", "p.png"], {"first": "asset"}),
        (["--set", "a.b=1", "--set", "c.d=2", "p.png"], {"assignments": ("a.b=1", "c.d=2")}),
    ],
)  # fmt: skip
def test_spellings(given: list[str], expected: dict[str, Any]) -> None:
    with commands()["run"].make_context("run", given, **cli.app.context_settings) as context:
        assert {key: context.params[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"seed": 7}, {"views.seed": 7, "refined.seed": 7, "radiance.seed": 7,
                     "asset.seed": 7}),
        ({"no_remove_bg": True, "delight": True, "zip": True},
         {"cutout.remove_background": False, "asset.delight": True}),
        ({"normal_map": False}, {"game.normal_map": False}),
        # A limit on hulls asks for hulls, unless they are refused.
        ({"collision_hulls": 3}, {"game.collision": True, "game.collision_hulls": 3}),
        ({"collision_vertices": 9, "collision": False},
         {"game.collision": False, "game.collision_vertices": 9}),
    ],
)  # fmt: skip
def test_flags_become_settings(given: dict[str, Any], asked: dict[str, Any]) -> None:
    assert flags.settings_of({**dict.fromkeys(flags.ROWS), **given}) == asked


def test_usage_errors_end_with_2(command: Command) -> None:
    for line, words in (
        ("run", "Missing argument 'INPUT...'"),
        ("run a.png --seed many", "--seed"),
        ("run a.png --colour", "--colour"),
        ("rum a.png", "rum"),
        ("batch a.png", "--output-dir"),
        ("", "Commands:"),
        ("cache", "Commands:"),
    ):
        done = command(*line.split())
        assert done.returncode == 2 and words in done.stderr, line
        assert done.stdout == ""
    told = json.loads(command("run", "a.png", "--seed", "many", "--json").stdout)
    assert told["exit_code"] == 2 and "--seed" in told["error"]


def test_an_interrupt_ends_with_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "examine", pressed)
    assert command("doctor").returncode == 130


def test_the_version(command: Command) -> None:
    assert re.fullmatch(r"img2mesh \d+\.\d+\.\d+\S*\n", command("--version").stdout)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "1.5,2,3,4", ""])
def test_a_box_is_four_whole_numbers(text: str) -> None:
    assert flags.Box().convert("40,30,200,150", None, None) == (40, 30, 200, 150)
    with pytest.raises(click.BadParameter, match="X,Y,W,H"):
        flags.Box().convert(text, None, None)
