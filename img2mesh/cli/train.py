"""``img2mesh train``: train the embedded generator on one's own meshes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from img2mesh.cli.flags import Command, Option, call, options
from img2mesh.cli.output import say


@click.group(no_args_is_help=True)
def train() -> None:
    """Train the embedded generator on your own meshes; see docs/learned.md."""


@options(
    Option("--meshes", Path, "Folder of meshes, best with a manifest.csv.", required=True),
    Option("--out", Path, "Where items, checkpoints and weights go.", required=True),
    Option("--steps", click.IntRange(1), "Length of the whole run; more goes on.", default=20_000),
    Option("--batch", click.IntRange(1), "Items a step and process.", default=24),
    Option("--views", click.IntRange(1), "Views of a mesh in one pass.", default=4),
    Option("--passes", click.IntRange(1), "Passes over all meshes.", default=4),
    Option("--procedural", click.IntRange(0), "Random shapes besides the meshes.", default=600),
    Option("--processes", click.IntRange(1), "How many prepare items at once.", default=2),
    Option("--threads", click.IntRange(1), "Threads of the training; all by default."),
    Option("--seed", int, "Decides every chance.", default=0),
    Option("--name", str, "What reports call the network.", default="shape"),
    Option("--initial", Path, "Weights to begin with."),
    Option("--resume", bool, "Go on with the run that is there.", default=False),
    Option("--prepare-only", bool, "Only draw the views.", default=False),
    Option("--train-only", bool, "Only train, on the views that are there.", default=False),
)
@train.command(cls=Command)
def shape(**flags: Any) -> None:
    """Picture -> shape: draws views of the meshes, trains, and writes weights with a model card.

    Stop it whenever you like; --resume goes on. The weights' path is a --generator.
    """
    from img2mesh.training.commands import train_shape

    weights = call(train_shape, flags, note=say)
    say(f"img2mesh run photo.png --generator {weights}")
