"""stdout and stderr that never end a command: closed, full, or of another code page.

What is made is on disk before it is told; that nobody listens, or that a code page lacks a
character, is no reason to lose it.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

#: Stand-ins for what we print ourselves where a code page lacks it.
_PLAIN = {"→": "->", "←": "<-", "✓": "+", "✗": "x", "…": "...", "–": "-", "×": "x", "·": "-"}


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or _escaped(c) for c in text), error.end


def _escaped(character: str) -> str:
    """``\\xe9`` for a byte of a name that is no UTF-8, else a question mark."""
    code = ord(character)
    return f"\\x{code & 0xFF:02x}" if 0xDC80 <= code <= 0xDCFF else "?"


codecs.register_error("img2mesh", _replaced)


class Steady:
    """A text stream whose errors of writing are kept instead of raised."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="img2mesh")

    def write(self, text: str) -> int:
        """All of it, or what the first error lets through; nothing after that."""
        if self.error is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self.error = error
        return len(text)

    def flush(self) -> None:
        """What was written, out."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def steady_streams() -> None:
    """Make stdout and stderr steady; where one was closed there is a place for it to go."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller, as in `>&-`
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        if not isinstance(stream, Steady):
            setattr(sys, name, Steady(_apart(stream) if name == "stdout" else stream))


def _apart(stdout: TextIO) -> TextIO:
    """Results on a descriptor of their own; what libraries in C print on 1 goes to stderr.

    For good, not for the time of a call: C keeps lines back until the process ends.
    """
    try:
        if stdout is not sys.__stdout__ or stdout.fileno() != 1:
            return stdout
        stdout.flush()
        own = os.dup(1)
    except (OSError, ValueError):
        return stdout
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed
        os.close(own)
        return stdout
    buffering = 1 if os.isatty(own) else -1
    return open(  # noqa: PTH123
        own, "w", buffering, encoding=stdout.encoding, errors=stdout.errors
    )


def settled(code: int) -> int:
    """The exit code once everything is flushed: 1 where results could not be told and all is well.

    A reader that has gone (``| head``) is no error: it has what it wanted.
    """
    out, err = cast(Steady, sys.stdout), cast(Steady, sys.stderr)
    out.flush()
    if out.error is not None and out.error.errno != errno.EPIPE:
        why = out.error.strerror or str(out.error)
        err.write(f"img2mesh: the work is done, but stdout cannot be written: {why}\n")
        code = code or 1
    err.flush()
    for stream in (out, err):
        if stream.error is not None:  # or the interpreter would try again, and fail, at its end
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON as stdout can hold it: with escapes where its code page lacks a character."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text
