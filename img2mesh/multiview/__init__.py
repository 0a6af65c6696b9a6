"""Cutout -> posed views of the object. One generator a file; none is chosen silently."""

from __future__ import annotations

from collections.abc import Callable

from img2mesh.artifacts import Cutout, ViewSet
from img2mesh.errors import InputError

#: Generators that need no files.
EMBEDDED = ("geometric",)


def generate(
    cutout: Cutout,
    *,
    generator: str = "geometric",
    body: str = "auto",
    tile: int = 320,
    seed: int = 42,
    progress: Callable[[float], None] | None = None,
) -> ViewSet:
    """Draw views of the object with the generator that was named.

    Args:
        cutout: the object alone.
        generator: ``geometric``.
        body: of the geometric prior: ``auto``, ``lathe``, ``box`` or ``inflation``.
        tile: side of a view in pixels, where the generator leaves it free.
        seed: of the generator's noise.
        progress: called with the fraction done.

    Raises:
        InputError: unknown generator; lists the known ones.
    """
    match generator:
        case "geometric":
            from img2mesh.multiview import geometric

            return geometric.generate(cutout, body=body, tile=tile, seed=seed, progress=progress)
        case _:
            raise InputError(
                f"unknown generator {generator!r}; known generators: {', '.join(EMBEDDED)}"
            )


def identity(generator: str = "geometric") -> str:
    """What, beside its settings, decides a generator's result: the string caches key on."""
    match generator:
        case "geometric":
            return "geometric-1"
        case _:
            raise InputError(
                f"unknown generator {generator!r}; known generators: {', '.join(EMBEDDED)}"
            )
