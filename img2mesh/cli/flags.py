"""The flags of the commands that make meshes: one table, a row a flag.

A row says what the user writes, what it means, and which settings it sets. Defaults of settings are
written nowhere here: the help reads them out of the stages' signatures.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import click

from img2mesh.core.ranges import Between

T = TypeVar("T")

#: Commands that begin with a photo, and those that begin with posed views.
PHOTO = ("run", "plan", "batch", "serve")
VIEWS = ("reconstruct", "plan")
#: Commands that write files of the user's choice, and those that take one input from start to end.
FILES = ("run", "reconstruct", "plan", "batch", "distill")
SINGLE = ("run", "reconstruct", "plan", "distill")
#: Commands that cut an object out.
CUTTING = (*PHOTO, "distill")
#: Those of them in which a flag may be about one photo.
ONE = ("run", "plan", "distill")
#: Those that may begin with a text.
DRAWING = ("run", "plan")


#: How the help writes a value.
METAVARS = {int: "N", click.IntRange: "N", float: "X", click.FloatRange: "X", Path: "FILE"}


class Size(click.ParamType[str]):
    """``height=9cm``, refused before any work."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The text itself, if it is one."""
        from img2mesh.core.lengths import parse_size

        parse_size(str(value))
        return str(value)


class Box(click.ParamType[tuple[int, ...]]):
    """Four whole numbers with commas between."""

    name = "box"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """As the setting wants it."""
        try:
            box = tuple(int(part) for part in value.split(","))
        except ValueError:
            box = ()
        if len(box) != 4:
            self.fail(f"{value!r} is not X,Y,W,H, such as 40,30,200,150", param, ctx)
        return box


class Place(click.Path):
    """A path; the empty text is none, though it would mean the folder one is in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """As ``Path``."""
        if value == "":
            self.fail("the path is empty: name a file or folder, or leave the flag out", param, ctx)
        return super().convert(value, param, ctx)


class Option(click.Option):
    """One flag.

    Args:
        flags: its spellings, and its parameter's name where that is not the long spelling.
        kind: what its value is; bool makes it a switch.
        help: what it means.
        settings: ``stage.setting`` names that it sets.
        sets: what a switch sets them to.
        implies: settings that become true with it unless they are given.
        commands: which take it; every one that makes meshes, if none is named.
        default: of a flag that sets no setting; the command receives it.
        more: as click takes it.
    """

    def __init__(
        self,
        flags: str,
        kind: Any,
        help: str,
        settings: tuple[str, ...] = (),
        *,
        sets: Any = None,
        implies: tuple[str, ...] = (),
        commands: tuple[str, ...] = (),
        default: Any = None,
        **more: Any,
    ) -> None:
        if kind is bool:
            more["is_flag"] = True
        else:
            more.setdefault("metavar", METAVARS.get(kind if isinstance(kind, type) else type(kind)))
        if not more.get("required"):
            more |= {"default": default, "show_default": kind is not bool and default is not None}
        kind = Place(path_type=Path) if kind is Path else kind
        super().__init__(flags.split(), type=kind, help=help, **more)
        self.settings, self.sets, self.implies = settings, sets, implies
        self.commands, self.panel = commands, "Options"

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Spelling and help; with the default that the signature of its stage gives."""
        record = super().get_help_record(ctx)
        default, between = signatures().get(self.settings[0] if self.settings else "", (None, None))
        if record is None or default is None or isinstance(default, bool):
            return record
        allowed = f"; {between}" if between else ""
        return record[0], f"{record[1]}  [default: {default}{allowed}]"


@cache
def signatures() -> dict[str, tuple[Any, Between | None]]:
    """``stage.setting`` → default and range, read from the source: to import it loads numpy."""
    source = pkgutil.get_data("img2mesh", "pipeline.py") or b""
    module = ast.parse(source).body
    names = {
        target.id: _range_in(one.value)
        for one in module
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name)
    }
    return {
        f"{stage.name}.{setting.arg}": (
            ast.literal_eval(default),
            _range_in(setting.annotation) or names.get(getattr(setting.annotation, "id", "")),
        )
        for stage in module
        if isinstance(stage, ast.FunctionDef)
        for setting, default in zip(stage.args.kwonlyargs, stage.args.kw_defaults, strict=True)
        if default is not None
    }


def _range_in(node: ast.AST | None) -> Between | None:
    """The range that an annotation holds."""
    for call in ast.walk(node) if node is not None else ():
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Between":
            numbers = [ast.literal_eval(one) for one in call.args]
            return Between(
                *numbers, **{str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
            )
    return None


#: Panel of the help → its flags.
TABLE = {
    "Input": [
        Option("--text", str, "Draw the photo of this, instead of an INPUT.", metavar="PROMPT",
               commands=DRAWING),
        Option("--text-model", str, "What draws it: a text-to-image model, or a folder of one.",
               metavar="NAME", commands=DRAWING),
        Option("--mask", Path, "A picture of the object's mask.", commands=ONE),
        Option("--no-remove-bg --no-rembg", bool, "Take the picture as it is.",
               ("cutout.remove_background",), sets=False, commands=CUTTING),
        Option("--segmenter", str, "auto: weight-free, and u2netp if fetched; or one alone.",
               ("cutout.segmenter",), metavar="auto|border|u2netp|u2net|sam|onnx",
               commands=CUTTING),
        Option("--box", Box(), "Where the object is, in pixels of the photo.", ("cutout.box",),
               metavar="X,Y,W,H", commands=ONE),
        Option("--foreground-ratio", float, "Object's longest side as a share of the frame.",
               ("cutout.foreground_ratio",), commands=CUTTING),
        Option("--rig", str, "Cameras of a sheet or of a generator's folder: zero123plus-v1.1, "
               "zero123plus-v1.2, syncdreamer, mvdream, wonder3d or era3d.", metavar="NAME",
               commands=VIEWS),
        Option("--group", str, "Which list of a folder's cameras.json, such as views_v12.",
               metavar="NAME", commands=VIEWS),
        Option("--normals", Path, "A sheet of normals of the same views.",
               commands=VIEWS),
        Option("--photo", Path, "The cut-out photo behind the views: its pose is estimated.",
               commands=VIEWS),
    ],
    "Settings": [
        Option("--preset", str, "A file in configs/: draft, default, high, game, print.",
               metavar="NAME", default="default"),
        Option("--config", Path, "A TOML file with one table a stage."),
        Option("--set assignments", str, "Any setting; img2mesh stages lists them.",
               metavar="STAGE.SETTING=VALUE", multiple=True),
        Option("--seed", int, "Seed of everything random.",
               ("views.seed", "refined.seed", "radiance.seed", "asset.seed")),
    ],
    "Views": [
        Option("--generator", str, "learned, geometric (no weights), your own file, or a model.",
               ("views.generator", "refined.generator"), metavar="NAME", commands=PHOTO),
        Option("--speed", str, "Of a published generator.", ("views.speed", "refined.speed"),
               metavar="exact|fast|draft", commands=PHOTO),
        Option("--steps", int, "Denoising steps of a published generator.",
               ("views.steps", "refined.steps"), commands=PHOTO),
        Option("--guidance-scale", float, "Classifier-free guidance of a published generator.",
               ("views.guidance_scale", "refined.guidance_scale"), commands=PHOTO),
        Option("--lora", str, "An adapter of train --lora, on the generator that it began with.",
               ("views.lora", "refined.lora"), metavar="FILE", commands=PHOTO),
        Option("--elevation", float, "Degrees, of the photo's camera for zero123 and its kind, of "
               "the views for --rig mvdream.", ("views.elevation",),
               commands=(*PHOTO, "reconstruct")),
        Option("--refiner", str, "A text-to-image model that draws each view again.",
               ("refined.refiner",), metavar="NAME", commands=PHOTO),
        Option("--consistency", str, "Views drawn one by one see each other meanwhile.",
               ("views.consistency",), metavar="none|shared-attention", commands=PHOTO),
    ],
    "Mesh": [
        Option("--mc-resolution", int, "Marching-cubes grid, longest side; 0: the field's own.",
               ("surface.resolution",)),
        Option("--target-faces", int, "Triangles of the final mesh.", ("surface.target_faces",)),
        Option("--parts", str, "Separate parts: keep them so, join them by bars, or the largest.",
               ("views.parts", "surface.parts"), metavar="keep|join|largest"),
        Option("--remesh", str, "Even triangles, or even quads, stored as triangle pairs, each "
               "pair two of --target-faces.", ("surface.remesh",), metavar="none|triangle|quad"),
        Option("--texture-resolution", int, "Side of the texture in pixels.",
               ("asset.texture_resolution",)),
        Option("--texture-refiner", str, "A model that the texture follows: text-to-image, or "
               "zero123 and its kind.", ("asset.refiner",), metavar="NAME"),
        Option("--delight", bool, "Take the views' smooth light out of the colours.",
               ("asset.delight",), sets=True),
        Option("--frame", str, "+y up, sized and placed, or the cameras' own.", ("asset.frame",),
               metavar="asset|world"),
        Option("--pivot", str, "The origin.", ("asset.pivot",), metavar="base|centre"),
        Option("--scale", float, "Largest extent in metres.", ("asset.scale",)),
        Option("--size", Size(), "True size, as height=9cm (or width, depth, longest).",
               ("asset.size",), metavar="EXTENT=LENGTH"),
        Option("--up", str, "Which axis of the cameras' world is up.", ("asset.up",),
               metavar="auto|x|y|z|-x|-y|-z", commands=VIEWS),
        Option("--unit", click.Choice(["m", "cm", "mm"]), "What one unit of the cameras' world "
               "is: the asset keeps its true size.", ("asset.unit",), metavar="m|cm|mm",
               commands=VIEWS),
    ],
    "Game engines": [
        Option("--lods", int, "Coarser versions: mesh_lod1.glb and so on.", ("game.lods",)),
        Option("--lod-ratio", float, "Faces of a version as a share of the one before.",
               ("game.lod_ratio",)),
        Option("--normal-map/--no-normal-map", bool, "Bake the fit's detail.",
               ("game.normal_map",)),
        Option("--orm-map/--no-orm-map", bool, "Bake occlusion, packed with roughness and metal.",
               ("game.orm_map",)),
        Option("--collision/--no-collision", bool, "Convex hulls in mesh_collision.glb.",
               ("game.collision",)),
        Option("--collision-hulls", int, "Collision hulls at most.", ("game.collision_hulls",),
               implies=("game.collision",)),
        Option("--collision-vertices", int, "Vertices of a hull at most.",
               ("game.collision_vertices",), implies=("game.collision",)),
    ],
    "Files": [
        Option("--output-dir -o", Path, "Where each input gets a folder; x.glb: that mesh alone.",
               metavar="DIR", default=Path("outputs"), commands=(*SINGLE, "serve")),
        Option("--format formats", str, "Of glb (always), gltf, obj, ply, stl, 3mf, usdz.",
               metavar="LIST", default="glb", commands=FILES),
        Option("--turntable/--no-turntable", bool, "Also write turntable.webp.", default=False,
               commands=FILES),
        Option("--texture-format", str, "Pictures inside GLB files; ktx2 needs basisu.",
               metavar="png|jpeg|webp|ktx2", default="png", commands=FILES),
        Option("--compress", str, "Also mesh_meshopt.glb, smaller.", metavar="meshopt",
               commands=FILES),
        Option("--zip archive", bool, "Also asset.zip with everything to deliver.", default=False,
               commands=FILES),
    ],
    "What runs, and where": [
        Option("--device", str, "auto, cpu, cuda, cuda:N or mps: where, never what.",
               metavar="NAME", default="auto"),
        Option("--low-vram", bool, "Trade speed for GPU memory.", default=False),
        Option("--offline", bool, "Never touch the network.", default=False),
        Option("--commercial-only", bool, "Refuse weights not for commercial use.", default=False),
        Option("--until", str, "Stop after this stage.", metavar="STAGE", default="quality",
               commands=FILES),
        Option("--from first", str, "Run this stage and all after it again.", metavar="STAGE",
               commands=SINGLE),
        Option("--force", str, "Run a stage again; without a name, all.", metavar="[STAGE]",
               commands=SINGLE),
        Option("--cache-dir", Path, "Stage cache; otherwise $IMG2MESH_CACHE.", metavar="DIR"),
        Option("--no-cache", bool, "Keep nothing between runs.", default=False, commands=FILES),
    ],
    "Messages": [
        Option("--json as_json", bool, "One JSON object on stdout.", default=False),
        Option("--quiet -q", bool, "Only results and errors.", default=False, commands=FILES),
        Option("--verbose -v", bool, "Tracebacks and details.", default=False),
    ],
}  # fmt: skip

ROWS = {row.name: row for rows in TABLE.values() for row in rows}
for _panel, _rows in TABLE.items():
    for _row in _rows:
        _row.panel = _panel


class Command(click.Command):
    """A command whose help has a section a panel, and whose ``--force`` may stand alone."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Sections in the order of the table; a command of few flags has one."""
        few = len(self.params) < 10
        sections: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record and isinstance(one, click.Option):
                panel = "Options" if few else getattr(one, "panel", "Messages")
                sections.setdefault(panel, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """``--force STAGE`` takes what follows only if it names a stage, so a photo may follow."""
        if "--force" in args and any(one.name == "force" for one in self.params):
            from img2mesh.pages.drawn import DRAWN
            from img2mesh.settings import RENAMED

            for place, (flag, value) in enumerate(pairwise([*args, ""])):
                if flag == "--":
                    break
                if flag == "--force" and value not in (*DRAWN.order, *RENAMED):
                    args[place] = "--force=all"
        return super().parse_args(ctx, args)


def pipeline_options(command: click.Command) -> click.Command:
    """Give a command every flag of the table that is meant for it."""
    command.params += [
        row for row in ROWS.values() if not row.commands or command.name in row.commands
    ]
    return command


def options(*rows: str | Option) -> Callable[[click.Command], click.Command]:
    """Give a command some flags: its own, or the table's by name."""

    def give(command: click.Command) -> click.Command:
        command.params += [ROWS[row] if isinstance(row, str) else row for row in rows]
        return command

    return give


def settings_of(flags: Mapping[str, Any]) -> dict[str, Any]:
    """``stage.setting`` → value, of the flags that were given; what is no setting is passed over.

    Args:
        flags: values by parameter name.
    """
    given = [(row, flags[name]) for name, row in ROWS.items() if flags.get(name) is not None]
    asked = {
        setting: value if row.sets is None else row.sets
        for row, value in given
        for setting in row.settings
    }
    return {setting: True for row, _ in given for setting in row.implies} | asked


def chosen(function: Callable[..., Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the flags that are parameters of a function."""
    return {name: flags[name] for name in inspect.signature(function).parameters if name in flags}


def call(function: Callable[..., T], flags: Mapping[str, Any], *first: Any, **more: Any) -> T:
    """Call a function with those of the flags that it takes."""
    return function(*first, **chosen(function, flags), **more)
