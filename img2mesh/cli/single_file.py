"""``-`` for the photo and ``-o chair.glb`` for the mesh: one file in, one out, as in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from img2mesh.errors import InputError

if TYPE_CHECKING:
    from img2mesh.jobs.delivery import Delivered
    from img2mesh.jobs.job import Job
    from img2mesh.jobs.request import OutputOptions, Request

STDIN = "-"
#: Suffixes of ``-o`` that name a file. OBJ is three files and needs a folder.
_SUFFIXES = (".glb", ".ply", ".stl", ".3mf", ".usdz")
#: Suffixes that mean another file, not a folder.
_OTHERS = (
    ".fbx", ".blend", ".dae", ".3ds", ".abc", ".usd", ".usda", ".usdc", ".step", ".zip", ".png",
    ".jpg", ".jpeg", ".webp", ".html",
)  # fmt: skip
_MOST = 1 << 30  # bytes taken from a pipe


def piped_job(mask: Path | None) -> Job:
    """The job of what is piped in.

    Raises:
        InputError: nothing is piped in, or too much, or its mask cannot be read.
    """
    from img2mesh.graph import Leaf
    from img2mesh.jobs.job import photo_job

    path = _read_stdin()
    job = photo_job(path, mask=mask)

    def load() -> Any:
        try:
            return job.given["photo"].load()
        except InputError as error:
            raise InputError(str(error).replace(repr(str(path)), "standard input")) from error

    return replace(job, source=Path(STDIN), given={"photo": Leaf(job.digest, load)})


def _read_stdin() -> Path:
    """What is piped in, in a temporary file that lasts as long as the command.

    Raises:
        InputError: nothing is piped in, or too much.
    """
    from img2mesh.core.leftovers import temporary

    pipe = getattr(sys.stdin, "buffer", None)
    if pipe is None or sys.stdin.isatty():
        raise InputError("nothing is piped in: `-` reads a picture, as in `cat x.png | img2mesh`")
    folder = temporary("img2mesh-stdin-")
    path = Path(click.get_current_context().with_resource(folder)) / "stdin"
    with path.open("wb") as file:
        while data := pipe.read(1 << 20):
            file.write(data)
            if file.tell() > _MOST:
                raise InputError("more than 1 GB was piped in: expected one picture")
    if not path.stat().st_size:
        raise InputError("nothing was piped in: `-` expects a picture on standard input")
    return path


def named_file(output: Path) -> Path | None:
    """The file that ``-o`` names, or None where it names a folder.

    Raises:
        InputError: a mesh of several files, or a file that is not written.
    """
    if str(output) == STDIN:
        raise InputError("-o -: a mesh is not written to stdout; name a file such as chair.glb")
    if output.is_dir():
        return None
    suffix = output.suffix.lower()
    if suffix in (".obj", ".gltf"):
        raise InputError(f"-o {output}: several files make up such a mesh; name a folder")
    if suffix in _OTHERS:
        way = "; Blender makes it of a .glb, see docs/printing.md" if suffix == ".fbx" else ""
        raise InputError(
            f"-o {output}: such a file is not written; expected a folder, or a name that ends in "
            f"{', '.join(_SUFFIXES)}{way}"
        )
    return output if suffix in _SUFFIXES else None


def alone(
    file: Path, jobs: int, request: Request, options: OutputOptions
) -> tuple[Request, OutputOptions]:
    """The same request, for one file.

    Raises:
        InputError: there are several inputs, or more files were asked for, or no mesh.
    """
    game = request.settings.get("game", {})
    more = options.turntable or options.archive or options.compress or game.get("lods")
    more = more or (len(options.mesh_formats) > 1 and not options.printing)
    if jobs > 1 or more or game.get("collision"):
        raise InputError(f"-o {file} is one file, but more was asked for: name a folder")
    order = request.graph.order
    if order.index(request.until) < order.index("asset"):
        raise InputError(f"-o {file}: --until {request.until} makes no mesh; name a folder")
    suffix = file.suffix.lower().removeprefix(".")
    return request, replace(options, mesh_formats=tuple(dict.fromkeys(["glb", suffix])))


@contextmanager
def staging(file: Path) -> Iterator[Path]:
    """A folder beside the file, gone at the end.

    Raises:
        Img2MeshError: the file cannot be written there.
    """
    from img2mesh.core.leftovers import temporary
    from img2mesh.jobs.claims import require_writable

    require_writable(file.parent)
    file.parent.mkdir(parents=True, exist_ok=True)
    with temporary(".img2mesh-", file.parent) as folder:
        yield Path(folder)


def placed(done: Delivered, file: Path) -> Delivered:
    """Move the mesh to the file; nothing else of the folder is kept."""
    suffix = file.suffix.lower().removeprefix(".")
    name = "mesh" if suffix == "glb" else suffix
    done.files[name].replace(file)
    return replace(done, folder=file.parent, files={name: file})
