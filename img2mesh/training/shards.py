"""Rendered objects by the thousand in one file: plain tar in webdataset's naming.

``train-000000.tar`` holds the files of objects one after another, ``KEY.000.png``, ``KEY.001.png``
and so on: what shares a name up to its first dot is one sample. ``train-000000.json`` beside it
says where each object begins, so that any one is one read; a shard counts once that is there.
"""

from __future__ import annotations

import io
import json
import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

from img2mesh.errors import Img2MeshError


@dataclass(frozen=True)
class PackedFile:
    """A file of a packed object, None where there is none of that name."""

    name: str
    content: bytes | None

    def is_file(self) -> bool:
        """Whether it is there."""
        return self.content is not None

    def open(self, mode: str = "rb") -> io.BytesIO:
        """Its bytes.

        Raises:
            FileNotFoundError: it is not there.
        """
        if self.content is None:
            raise FileNotFoundError(self.name)
        return io.BytesIO(self.content)


@dataclass(frozen=True)
class Packed:
    """An object of a shard, read: to be asked as its folder would be."""

    name: str
    files: Mapping[str, bytes]

    def __truediv__(self, name: str) -> PackedFile:
        return PackedFile(name, self.files.get(name))

    def iterdir(self) -> Iterator[PackedFile]:
        """Its files, as they were packed."""
        return (PackedFile(name, content) for name, content in self.files.items())


#: The files of one object.
Folder = Path | Packed


class Shards(Sequence[Packed]):
    """The packed objects of a split; only the number of each shard's objects is kept in memory.

    Attributes:
        licences: of their meshes.
    """

    def __init__(self, root: Path, split: str) -> None:
        self._files = sorted(root.glob(f"{split}-[0-9]*.json"))
        rows = [_rows(file) for file in self._files]
        self._ends = list(accumulate(len(one) for one in rows))
        self.licences = tuple(sorted({row["licence"] for one in rows for row in one}))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, number: int) -> Packed: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Packed]: ...
    def __getitem__(self, number: int | slice) -> Packed | Sequence[Packed]:
        if isinstance(number, slice):
            return [self[k] for k in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        shard = bisect_right(self._ends, number)
        file = self._files[shard]
        row = _rows(file)[number - (self._ends[shard - 1] if shard else 0)]
        with file.with_suffix(".tar").open("rb") as stream:
            stream.seek(row["offset"])
            content = stream.read(row["size"])
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            files = {
                info.name.partition(".")[2]: opened.read()
                for info in tar
                if (opened := tar.extractfile(info)) is not None
            }
        return Packed(row["name"], files)


def packed_names(root: Path) -> set[str]:
    """Names of all objects of a data set that lie in shards."""
    return {row["name"] for file in root.glob("*-[0-9]*.json") for row in _rows(file)}


def pack(root: Path, split: str, objects: Mapping[str, str]) -> Path:
    """Write the folders of some objects as the next shard of a split. They may be deleted then.

    Args:
        root: the data set.
        split: begins the shard's name.
        objects: their names, each with its licence.
    """
    number = sum(1 for _ in root.glob(f"{split}-[0-9]*.json"))
    target = root / f"{split}-{number:06d}.tar"
    aside, rows = root / f".{target.name}.part", []
    with tarfile.open(aside, "w") as tar:
        for name, licence in objects.items():
            begin = tar.offset
            for file in sorted((root / name).iterdir()):
                info = tarfile.TarInfo(f"{name.replace('.', '_')}.{file.name}")
                info.size, info.mode = file.stat().st_size, 0o644
                with file.open("rb") as stream:
                    tar.addfile(info, stream)
            size = tar.offset - begin
            rows.append({"name": name, "licence": licence, "offset": begin, "size": size})
    aside.replace(target)
    index = root / f".{target.stem}.json.part"
    index.write_text(json.dumps(rows), encoding="utf-8")
    index.replace(target.with_suffix(".json"))
    return target


def _rows(file: Path) -> list[dict[str, Any]]:
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read(file: Path, written: int) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise Img2MeshError(
            f"the index {file} cannot be read ({cause}): delete it and its .tar, and let "
            "img2mesh render draw the objects again"
        ) from None
    return rows
