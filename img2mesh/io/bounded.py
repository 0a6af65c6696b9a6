"""Files that claim more than they hold, and pictures that cost more than they show."""

from __future__ import annotations

import io
import os

_CHUNK = 1 << 20


class Whole(io.BufferedReader):
    """A file that makes no room for more bytes than it has, whatever a damaged header says."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most ``size`` bytes, as of any file."""
        if size is not None and size > _CHUNK:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def jpeg_scans(file: io.BufferedReader) -> int:
    """How many scans a JPEG has; its place in the file is kept.

    A progressive one may repeat its last scan for ever: each costs a look at every pixel.
    """
    place, scans, last = file.tell(), 0, b""
    file.seek(0)
    while block := file.read(_CHUNK):
        # Within a scan 0xff is followed by 0 or a restart: this is nothing but its beginning.
        scans += (last + block).count(b"\xff\xda")
        last = block[-1:]
    file.seek(place)
    return scans
