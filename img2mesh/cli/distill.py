"""``img2mesh distill``: a photo to a mesh by score distillation into the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from img2mesh.cli.flags import Command, Option, options, pipeline_options, settings_of
from img2mesh.cli.run import photo_jobs, run_jobs

#: Flags of this command alone, and the settings that they set.
OWN = {
    "guidance": Option("--guidance", click.Choice(["sds", "sjc", "vsd"]), "Which score."),
    "generator": Option("--generator", str, "What judges the renders: zero123, zero123-xl, "
                        "stable-zero123, or a folder or .ckpt of that kind.", metavar="NAME"),
    "guidance_scale": Option("--guidance-scale", float, "Classifier-free guidance."),
    "steps": Option("--steps", int, "Steps of the optimiser."),
    "elevation": Option("--elevation", float, "Of the photo's camera, degrees."),
    "grid": Option("--grid", int, "Points along each side of the distilled field."),
    "preview_every": Option("--preview-every", int, "Steps between two preview pictures."),
}  # fmt: skip
RECIPE = Option("--recipe", str, "A file in configs/distill/: zero123, threestudio, "
                "stable-zero123, dreamgaussian, prolificdreamer.", metavar="NAME")  # fmt: skip


@pipeline_options
@options(*OWN.values(), RECIPE)
@click.command(cls=Command)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
def distill(inputs: tuple[str, ...], mask: Path | None, **flags: Any) -> None:
    """Photo(s) to mesh by score distillation: no views are drawn, a generator judges renders.

    Needs a generator that knows any camera. A run that was interrupted goes on where it last stored
    itself; preview pictures are named in the progress as they are drawn.
    """
    from img2mesh.pages.distilled import DISTILLATION

    own = {f"refined.{name}": flags.pop(name) for name in OWN}
    known = DISTILLATION.stages
    shared = {
        name: value
        for name, value in settings_of(flags).items()
        if (at := name.partition("."))[0] in known and at[2] in known[at[0]].settings
    }
    flags["route"] = "distill"
    run_jobs(lambda: photo_jobs(inputs, mask), flags, shared | own)
