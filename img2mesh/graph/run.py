"""``Run``: where and how a stage runs. It never takes part in a key."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from img2mesh.errors import CacheError


class Run:
    """Device, scratch folder, progress and notes, handed to a stage as its ``run``.

    ``Run()`` is for a stage called plainly from Python: automatic device, silent progress, and a
    temporary scratch folder which goes when the ``Run`` does.

    Args:
        device: ``auto``, ``cpu``, ``cuda[:n]`` or ``mps``.
        scratch: folder for work in progress, made on first use; None for a temporary one.
        on_progress: called with the fraction done in [0, 1] and a message.
    """

    def __init__(
        self,
        device: str = "auto",
        *,
        scratch: Path | None = None,
        on_progress: Callable[[float, str], None] = lambda fraction, message: None,
    ) -> None:
        self.device = device
        self._scratch = scratch
        self._on_progress = on_progress
        self._notes: list[str] = []

    @property
    def scratch(self) -> Path:
        """A folder of this very piece of work: checkpoints go here.

        In a runner it belongs to the key and the digests of the inputs, survives crashes and
        interruptions, and is removed when the result is committed.

        Raises:
            CacheError: the folder cannot be made.
        """
        if self._scratch is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="scratch-")
            self._scratch = Path(self._temporary.name)
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheError(f"cannot make {self._scratch}: {error.strerror}") from error
        return self._scratch

    @property
    def notes(self) -> tuple[str, ...]:
        """What the stage wants the user to know, in the order said, each once."""
        return tuple(dict.fromkeys(self._notes))

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how much is done, in [0, 1]."""
        self._on_progress(min(max(float(fraction), 0.0), 1.0), message)

    def note(self, sentence: str) -> None:
        """Leave a sentence for the user; it is stored with the result and said again on reuse."""
        self._notes.append(sentence)
