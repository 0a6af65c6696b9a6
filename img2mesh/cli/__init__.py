"""The command line: a module a command, one table of flags for those that make meshes.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once. Results go to
stdout, everything said on the way to stderr.
"""

from __future__ import annotations

import os
import sys

import click

from img2mesh.cli import batch, cache, distill, doctor, models, plan, render, run, serve, train
from img2mesh.cli import eval as evaluation
from img2mesh.cli.streams import json_text, settled, steady_streams
from img2mesh.core.failures import told, write_log
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
    run.run, run.reconstruct, distill.distill, plan.plan, plan.stages, batch.batch, models.models,
    cache.cache, evaluation.evaluate, render.render, train.train, serve.serve, doctor.doctor,
):  # fmt: skip
    app.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit codes 0 done, 1 a stage failed, 2 bad usage or input, 128 and a
    signal's number: 130 for Ctrl-C, 143 for SIGTERM."""
    given = sys.argv[1:] if arguments is None else arguments
    for name, value in STEADY.items():
        os.environ.setdefault(name, value)
    steady_streams()
    sys.exit(settled(_code_of(given)))


def _code_of(given: list[str]) -> int:
    """Run the command; whatever goes wrong is told in a sentence, and ends in a code."""
    sentence = None
    try:
        code = app.main(given, prog_name="img2mesh", standalone_mode=False)
    except SystemExit as ended:
        code = ended.code
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
    except Exception as error:
        if "-v" in given or "--verbose" in given:
            raise
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        sentence = told(f"this should not have happened: {cause}", write_log(error))
        sys.stderr.write(f"img2mesh: {sentence}\n")
        code = 1
    if sentence is not None and "--json" in given:
        sys.stdout.write(json_text({"error": sentence, "exit_code": code}) + "\n")
    return code if isinstance(code, int) else int(bool(code))
