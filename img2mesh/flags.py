"""The flags several commands share: spelling, type and help, once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

OutputDir = Annotated[
    Path, typer.Option("--output-dir", "-o", help="Where each input gets its own folder.")
]
Preset = Annotated[str, typer.Option(help="A file in configs/: draft, default, high, game.")]
Config = Annotated[Path | None, typer.Option(help="A TOML file with one table a stage.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="STAGE.SETTING=VALUE", help="Any setting.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.  [default: 42]")]
McResolution = Annotated[
    int | None, typer.Option(help="Marching-cubes grid along the longest side; 0: the field's.")
]
TargetFaces = Annotated[int | None, typer.Option(help="Triangles of the final mesh.")]
Delight = Annotated[
    bool, typer.Option("--delight", help="Take the views' smooth light out of the colours.")
]
Remesh = Annotated[
    str | None,
    typer.Option(
        help="none; triangle: even triangles; quad: even quads, stored as triangle pairs, each "
        "pair two of --target-faces.  [default: none]"
    ),
]
TextureResolution = Annotated[int | None, typer.Option(help="Side of the texture in pixels.")]
Formats = Annotated[
    str, typer.Option("--format", help="Comma-separated: glb, obj, ply, stl, usdz (glb always).")
]
Turntable = Annotated[bool, typer.Option(help="Also write turntable.webp.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps: where, never what.")]
Frame = Annotated[
    str | None, typer.Option(help="asset (+y up, sized and placed) or world (the cameras' own).")
]
Lods = Annotated[
    int | None, typer.Option(help="Coarser versions: mesh_lod1.glb and so on.  [default: 0]")
]
LodRatio = Annotated[
    float | None, typer.Option(help="Faces of a version as a share of the one before, 0.5.")
]
NormalMap = Annotated[
    bool | None, typer.Option("--normal-map/--no-normal-map", help="Bake the fit's detail.")
]
OrmMap = Annotated[
    bool | None,
    typer.Option("--orm-map/--no-orm-map", help="Bake occlusion, packed with roughness and metal."),
]
Collision = Annotated[
    bool | None,
    typer.Option("--collision/--no-collision", help="Convex hulls in mesh_collision.glb."),
]
CollisionHulls = Annotated[int | None, typer.Option(help="Collision hulls at most, 16.")]
CollisionVertices = Annotated[int | None, typer.Option(help="Vertices of a hull at most, 32.")]
TextureFormat = Annotated[
    str, typer.Option(help="Pictures inside GLB files: png, jpeg, webp, or ktx2 (needs basisu).")
]
Compress = Annotated[
    str | None, typer.Option(metavar="meshopt", help="Also mesh_meshopt.glb, smaller.")
]
Zip = Annotated[bool, typer.Option("--zip", help="Also asset.zip with everything to deliver.")]
Pivot = Annotated[str | None, typer.Option(help="base or centre.")]
Scale = Annotated[float | None, typer.Option(help="Largest extent in metres.")]
Until = Annotated[str, typer.Option(help="Stop after this stage.")]
From = Annotated[str | None, typer.Option("--from", help="Run this stage and all after it again.")]
Force = Annotated[
    str | None, typer.Option(metavar="[STAGE]", help="Run a stage again; without a name, all.")
]
CacheDir = Annotated[Path | None, typer.Option(help="Stage cache.  [default: $IMG2MESH_CACHE]")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep nothing between runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tracebacks and details.")]
Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders, globs.")]
Mask = Annotated[Path | None, typer.Option(help="A picture of the object's mask.")]
Photo = Annotated[
    Path | None, typer.Option(help="The cut-out photo behind the views: its pose is estimated.")
]
Generator = Annotated[
    str | None,
    typer.Option(help="geometric (the default: a weight-free prior) or a learned model's name."),
]
NoRemoveBg = Annotated[
    bool, typer.Option("--no-remove-bg", "--no-rembg", help="Take the picture as it is.")
]
ForegroundRatio = Annotated[
    float | None, typer.Option(help="Object's longest side as a share of the frame, 0.85.")
]
Steps = Annotated[int | None, typer.Option(help="Denoising steps of a learned generator, 28.")]
GuidanceScale = Annotated[
    float | None, typer.Option(help="Classifier-free guidance of a learned generator, 4.")
]
LowVram = Annotated[bool, typer.Option("--low-vram", help="Trade speed for GPU memory.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
CommercialOnly = Annotated[
    bool, typer.Option("--commercial-only", help="Refuse weights not for commercial use.")
]


#: Which settings a flag sets, by its parameter's name; a flag that was not given sets nothing.
_SETTINGS = {
    "foreground_ratio": ("cutout.foreground_ratio",),
    "generator": ("views.generator", "refined.generator"),
    "steps": ("views.steps", "refined.steps"),
    "guidance_scale": ("views.guidance_scale", "refined.guidance_scale"),
    "seed": ("views.seed", "refined.seed", "radiance.seed"),
    "mc_resolution": ("surface.resolution",),
    "target_faces": ("surface.target_faces",),
    "remesh": ("surface.remesh",),
    "texture_resolution": ("asset.texture_resolution",),
    "frame": ("asset.frame",),
    "pivot": ("asset.pivot",),
    "scale": ("asset.scale",),
    "lods": ("game.lods",),
    "lod_ratio": ("game.lod_ratio",),
    "normal_map": ("game.normal_map",),
    "orm_map": ("game.orm_map",),
    "collision": ("game.collision",),
    "collision_hulls": ("game.collision_hulls",),
    "collision_vertices": ("game.collision_vertices",),
}


def settings_of(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a command's flags ask for; None where one was not given.

    Args:
        flags: values by parameter name, such as a command's ``locals()``; what is no setting
            (where to write, what to print) is passed over.
    """
    asked = {
        setting: flags[flag]
        for flag, settings in _SETTINGS.items()
        if flag in flags
        for setting in settings
    }
    limits = (flags.get("collision_hulls"), flags.get("collision_vertices"))
    if flags.get("collision") is None and limits != (None, None):
        asked["game.collision"] = True  # a limit on hulls asks for hulls
    if flags.get("no_remove_bg"):
        asked["cutout.remove_background"] = False
    if flags.get("delight"):
        asked["asset.delight"] = True
    return asked
