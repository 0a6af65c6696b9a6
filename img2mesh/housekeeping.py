"""The commands that keep house: `img2mesh cache ...` and `img2mesh models ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from img2mesh.flags import AsJson, CacheDir, CommercialOnly, Offline

cache_app = typer.Typer(help="Look into, check and trim the stage cache.", no_args_is_help=True)
models_app = typer.Typer(help="Checkpoints of the learned generators.", no_args_is_help=True)


@cache_app.command("list")
def cache_list(cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Every entry: stage, key, size, last use."""
    from img2mesh import commands

    commands.cache_list(cache_dir, as_json=as_json)


@cache_app.command("show")
def cache_show(key: str, cache_dir: CacheDir = None) -> None:
    """One entry's manifest, by the beginning of its key."""
    from img2mesh import commands

    commands.cache_show(cache_dir, key)


@cache_app.command("verify")
def cache_verify(cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Check every byte; damaged entries go to quarantine and are made again when needed."""
    from img2mesh import commands

    commands.cache_verify(cache_dir, as_json=as_json)


@cache_app.command("trim")
def cache_trim(
    keep: Annotated[str, typer.Option(help="How much to keep: 500MB, 20GB; 0 empties it.")],
    cache_dir: CacheDir = None,
) -> None:
    """Delete the entries used longest ago until the rest fits."""
    from img2mesh import commands

    commands.cache_trim(cache_dir, keep)


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """Checkpoints: repository, revision, size, licence, commercial use, here or not."""
    from img2mesh import models

    models.show(as_json=as_json)


@models_app.command("fetch")
def models_fetch(
    name: str, offline: Offline = False, commercial_only: CommercialOnly = False
) -> None:
    """Download a checkpoint; the only command that uses the network."""
    from img2mesh import models

    models.fetch(name, offline=offline, commercial_only=commercial_only)


@models_app.command("verify")
def models_verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None, as_json: AsJson = False
) -> None:
    """Hash fetched checkpoints against what was recorded when they came."""
    from img2mesh import models

    models.verify(name, as_json=as_json)
