"""Every error a user can meet, and the exit code each one ends a command with.

A message is one sentence that says what came, what was expected and what to do.
"""

from __future__ import annotations


class Img2MeshError(Exception):
    """Anything img2mesh itself reports: a stage failed, a file could not be written."""

    exit_code = 1


class InputError(Img2MeshError):
    """The user's input or usage cannot be worked with: a bad picture, flag, setting or folder."""

    exit_code = 2


class StageFailedError(Img2MeshError):
    """A stage met what nobody foresaw; ``__cause__`` is what it raised."""


class CacheError(Img2MeshError):
    """The cache folder cannot be read or written; names the path and the cause."""


class MissingExtraError(InputError):
    """An optional library was chosen but is not installed; the message prints the pip line."""


def missing_extra(library: str, *, extra: str, purpose: str) -> MissingExtraError:
    """Build the error for an optional dependency.

    Args:
        library: what could not be imported, for example ``onnxruntime``.
        extra: the extra of this package that brings it, for example ``onnx``.
        purpose: what the user asked for, for example ``the onnx segmenter``.
    """
    return MissingExtraError(
        f"{purpose} needs {library}, which is not installed: pip install 'img2mesh[{extra}]'"
    )
