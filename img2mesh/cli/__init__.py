"""The command line: a module a command, one table of flags for those that make meshes.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once. Results go to
stdout, everything said on the way to stderr.
"""

from __future__ import annotations

import json
import os
import sys

import click

from img2mesh.cli import batch, cache, doctor, models, plan, run, serve, train
from img2mesh.cli import eval as evaluation
from img2mesh.core.runtime import STEADY
from img2mesh.errors import Img2MeshError


class Group(click.Group):
    """Commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, for the help."""
        return list(self.commands)


@click.group(
    cls=Group,
    no_args_is_help=True,
    context_settings={
        "max_content_width": 100,
        "token_normalize_func": lambda name: name.replace("_", "-"),  # --output_dir
    },
)
@click.version_option(package_name="img2mesh", message="%(prog)s %(version)s")
def app() -> None:
    """One photo in, a clean, textured, engine-ready mesh out."""


for _command in (
    run.run, run.reconstruct, plan.plan, plan.stages, batch.batch, models.models, cache.cache,
    evaluation.evaluate, train.train, serve.serve, doctor.doctor,
):  # fmt: skip
    app.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit codes 0 done, 1 a stage failed, 2 bad usage or input, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    for name, value in STEADY.items():
        os.environ.setdefault(name, value)
    sentence = None
    try:
        code = app.main(given, prog_name="img2mesh", standalone_mode=False)
    except click.Abort:  # Ctrl-C where no command says more about it
        code = 130
    except click.ClickException as error:
        error.show()
        code, sentence = error.exit_code, error.format_message()
    except Img2MeshError as error:
        if "-v" in given or "--verbose" in given:
            raise
        sys.stderr.write(f"img2mesh: {error}\n")
        code, sentence = error.exit_code, str(error)
    if sentence is not None and "--json" in given:
        sys.stdout.write(json.dumps({"error": sentence, "exit_code": code}) + "\n")
    sys.exit(code or 0)
