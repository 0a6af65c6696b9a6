"""``img2mesh train``: train generators on one's own meshes and renders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from img2mesh.cli.flags import Command, Option, call, options
from img2mesh.cli.output import say


@click.group(no_args_is_help=True)
def train() -> None:
    """Train generators on your own meshes; see docs/learned.md and docs/training.md."""


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


def diffusion_options(steps: int, drop: float) -> list[Option]:
    """Flags that the trainers of the published generators share."""
    return [
        Option("--renders", Path, "Data set of img2mesh render.", required=True, metavar="DIR"),
        Option("--base", Path, "Checkpoint folder to begin with.", required=True, metavar="DIR"),
        Option("--out -o", Path, "The run, its samples and the model go here.", required=True,
               metavar="DIR"),
        Option("--steps", click.IntRange(1), "Length of the whole run; more goes on.",
               default=steps),
        Option("--batch", click.IntRange(1), "Samples a micro-batch and process.", default=1),
        Option("--accumulate", click.IntRange(1), "Micro-batches a step.", default=1),
        Option("--rate", float, "Learning rate.  [default: the recipe's]"),
        Option("--warmup", click.IntRange(0), "Steps until it is reached.  [default: the "
               "recipe's]"),
        Option("--averaging", click.FloatRange(0, 1), "Decay of the average that is exported.",
               default=0.9999),
        Option("--drop", click.FloatRange(0, 0.3), "Share of samples without their condition.",
               default=drop),
        Option("--seed", int, "Decides every chance.", default=0),
        Option("--save-every", click.IntRange(1), "Steps between checkpoints.", default=500),
        Option("--sample-every", click.IntRange(0), "Steps between samples; 0: none.", default=0),
        Option("--readers", click.IntRange(1), "Threads that read renders.", default=4),
        Option("--checkpointing", bool, "Half the memory for a third more time.", default=False),
        Option("--full-precision", bool, "float32 where bfloat16 would be used.", default=False),
        Option("--resume", bool, "Go on with the run that is there.", default=False),
    ]  # fmt: skip


GAMMA = Option("--gamma", click.FloatRange(0), "Of the Min-SNR weights; 0: all levels alike.",
               default=5.0)  # fmt: skip
LORA = Option("--lora", click.IntRange(0), "Train adapters of this rank instead.", default=0)


@options(
    *diffusion_options(50_000, 0.1),
    Option("--phase", click.Choice(["1", "2"]), "1: attention, 2: the whole U-Net.", default="1",
           metavar="1|2"),
    Option("--vision", Path, "CLIP's ViT-H with projection, where the base is Stable Diffusion 2.",
           metavar="DIR"),
    GAMMA,
    LORA,
)  # fmt: skip
@train.command(cls=Command)
def zero123plus(**flags: Any) -> None:
    """One picture -> six views: phases 1 and 2 of Zero123++, or adapters.

    The result is OUT/model, a --generator. accelerate launch or torchrun take many GPUs.
    """
    from img2mesh.training.diffusion.commands import train_zero123plus
    from img2mesh.training.diffusion.options import Options

    flags |= {"phase": int(flags["phase"]), "gamma": flags["gamma"] or None}
    model = call(train_zero123plus, flags, options=call(Options, flags), note=say)
    say(f"img2mesh run photo.png --generator {model}")


@options(
    *diffusion_options(20_000, 0.1),
    Option("--control", click.Choice(["depth", "normals"]), "depth leads to views; normals are "
           "drawn after views.", default="depth", metavar="depth|normals"),
    GAMMA,
)  # fmt: skip
@train.command(cls=Command)
def controlnet(**flags: Any) -> None:
    """A depth or normal ControlNet on a frozen Zero123++; OUT/model holds both."""
    from img2mesh.training.diffusion.commands import train_controlnet
    from img2mesh.training.diffusion.options import Options

    flags |= {"gamma": flags["gamma"] or None}
    model = call(train_controlnet, flags, options=call(Options, flags), note=say)
    say(f"img2mesh run photo.png --generator {model}")


@options(*diffusion_options(50_000, 0.05), LORA)
@train.command(cls=Command)
def zero123(**flags: Any) -> None:
    """One picture and a camera move -> the view from there: Zero-1-to-3, trained on."""
    from img2mesh.training.diffusion.commands import train_zero123
    from img2mesh.training.diffusion.options import Options

    model = call(train_zero123, flags, options=call(Options, flags), note=say)
    say(f"img2mesh run photo.png --generator {model}")
