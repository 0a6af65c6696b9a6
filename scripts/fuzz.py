"""Throw damaged inputs at the doors: nothing but a result or one sentence may come back.

Seeded: case K of a class is the same everywhere, and a failure prints its class and number.
Bounded: it stops after ``--seconds``, and counts what it did. All cases run in one process, each in
a folder of its own, and go as far as the door: pictures are opened and decoded, camera files read
with their pictures and checked, settings and lists resolved; of a cache two stages are served. A
fault is any exception that is not one of img2mesh's own, more than 2 GB of memory or ``--memory``
bytes of address space, a case of more than ten seconds, and a damaged cache entry that is served.

    python scripts/fuzz.py [--seconds 60] [--seed 0] [--only photos ...] [--count N] [--at K]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2mesh.artifacts import Photo, ViewSet
from img2mesh.batch.manifest import read_manifest
from img2mesh.core.rigs import rig
from img2mesh.errors import Img2MeshError
from img2mesh.graph import Graph, Leaf, Runner, Store, stage
from img2mesh.graph.runner import Codec
from img2mesh.pipeline import PIPELINE
from img2mesh.settings import load_config, resolve

#: Cases of a whole campaign.
PLANNED = {"photos": 8000, "views": 2000, "cameras": 1000, "settings": 1000, "caches": 500}
_SLOW = 10.0  # seconds of processor time
_MOST_MEMORY = 2_000_000  # kB resident
#: What stands for numbers, texts and lists in broken files.
_ODD = (
    None, True, "", "\0", "\udc80", "/", "..", "x" * 5000, -1, 0, 1e-320, 1e308, 10**400, [], {},
    "NaN", float("nan"), float("inf"), [[1e308] * 4] * 4, "/dev/zero", 2**63, -0.0,
)  # fmt: skip


def bytes_of(picture: Image.Image, kind: str, **more: Any) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **more)
    return buffer.getvalue()


@functools.cache
def seeds() -> list[bytes]:
    """Small pictures in every format that a door takes, and some that it does not."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:24, :24]
    inside = np.hypot(x - 12, y - 12) < 8
    rgb = np.where(inside[..., None], rng.integers(0, 255, (24, 24, 3)), 250).astype(np.uint8)
    colour = Image.fromarray(rgb)
    clear = colour.copy()
    clear.putalpha(Image.fromarray((inside * 255).astype(np.uint8)))
    deep = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
    found = [bytes_of(clear, kind) for kind in ("PNG", "WEBP", "TIFF", "GIF", "ICO")]
    found += [bytes_of(colour, kind) for kind in ("JPEG", "BMP", "PPM", "TGA", "JPEG2000")]
    found += [bytes_of(colour, "JPEG", progressive=True), bytes_of(deep, "PNG")]
    found += [bytes_of(colour.convert(m), "PNG") for m in ("L", "P", "1")]
    found += [bytes_of(colour.convert(m), "TIFF") for m in ("CMYK", "F")]
    return found


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A file with some bytes flipped, cut, doubled or replaced."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(out) or 1)
        match rng.randrange(6):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at:]
            case 2:
                out[at:at] = out[at : at + rng.randrange(64)]
            case 3:
                out[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case 4:
                del out[at : at + rng.randrange(1, 32)]
            case _:
                out[at : at + 2] = rng.randbytes(2)
        if not out:
            break
    return bytes(out)


def broken(value: Any, rng: random.Random) -> Any:
    """A JSON value with one of its parts replaced, dropped or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: broken(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        if rng.random() < 0.1:
            return value[:at]
        return [*value[:at], broken(value[at], rng), *value[at + 1 :]]
    return rng.choice(_ODD)


def photos(room: Path, rng: random.Random) -> None:
    """The door of photos and masks."""
    path = room / f"p{rng.choice(('.png', '.jpg', '.tif', '.webp', ''))}"
    path.write_bytes(damaged(rng.choice(seeds()), rng))
    mask = path if rng.random() < 0.2 else None
    Photo.open(path, mask=mask)


def views(room: Path, rng: random.Random) -> None:
    """The door of sheets."""
    path = room / "sheet.png"
    y, x = np.mgrid[:96, :64] % 32 - 15.5
    # Six discs are the views of a ball; six squares fit no body, which takes long to find out.
    inside = np.hypot(x, y) < 8 if rng.random() < 0.9 else np.maximum(abs(x), abs(y)) < 8
    sheet = np.where(inside[..., None], (200, 60, 30), 127).astype(np.uint8)
    kinds = ("PNG", "WEBP", "TIFF", "BMP")
    whole = bytes_of(Image.fromarray(sheet), rng.choice(kinds))
    path.write_bytes(damaged(rng.choice((whole, whole, rng.choice(seeds()))), rng))
    ViewSet.open(path, rig="zero123plus-v1.2")


def cameras(room: Path, rng: random.Random) -> None:
    """Camera files beside good pictures."""
    posed = rig("zero123plus-v1.2").cameras(16)
    disc = np.zeros((16, 16, 4), np.uint8)
    disc[4:12, 4:12] = 200
    frames = []
    for k, camera in enumerate(posed):
        Image.fromarray(disc).save(room / f"{k}.png")
        matrix = camera.world_from_camera.tolist()
        frames.append({"file_path": f"{k}.png", "transform_matrix": matrix})
    content: Any = {"fl_x": posed[0].fx, "w": 16, "h": 16, "k1": 0.0, "frames": frames}
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = broken(content, rng)
    text = json.dumps(content)
    data = text.encode("utf-8", "surrogatepass")
    name = rng.choice(("transforms.json", "cameras.json"))
    (room / name).write_bytes(damaged(data, rng) if rng.random() < 0.2 else data)
    ViewSet.open(room)


def settings(room: Path, rng: random.Random) -> None:
    """Settings files, --set, and manifests."""
    name = rng.choice(sorted(PIPELINE.stages))
    known = sorted(PIPELINE.stages[name].settings) or ["none"]
    value = rng.choice(_ODD)
    match rng.randrange(4):
        case 0:
            resolve(PIPELINE, assignments=[f"{name}.{rng.choice(known)}={value}"[:6000]])
        case 1:
            resolve(PIPELINE, {name: {rng.choice(known): value}})
        case 2:
            text = f"[{name}]\n{rng.choice(known)} = {'[' * rng.choice((1, 20000))}{value}\n"
            path = room / "c.toml"
            path.write_bytes(damaged(text.encode("utf-8", "replace"), rng))
            resolve(PIPELINE, load_config(path))
        case _:
            (room / "a.png").write_bytes(seeds()[0])
            rows = "path,name\na.png,a\n" if rng.random() < 0.5 else '{"path": "a.png"}\n'
            nested = '{"path":' + "[" * 100_000 if rng.random() < 0.1 else ""
            path = room / rng.choice(("m.csv", "m.jsonl"))
            path.write_bytes(damaged((rows + nested).encode(), rng))
            read_manifest(path)


class Text(str):
    """What the small graph of the cache's cases hands on."""

    __slots__ = ()


def _save(folder: Path, value: Text) -> None:
    (folder / "text").write_text(value, encoding="utf-8")


_CODECS: dict[type, Codec[Any]] = {
    Text: Codec(1, _save, lambda folder: Text((folder / "text").read_text(encoding="utf-8")))
}


@stage(version=1)
def twice(word: Text) -> Text:
    """The word two times."""
    return Text(word + word)


@stage(version=1)
def louder(twice: Text) -> Text:
    """The word in capitals."""
    return Text(twice.upper())


_GRAPH = Graph(source={"word": Text}, stages=[twice, louder])


def caches(room: Path, rng: random.Random) -> None:
    """A damaged cache: what is served must be what a clean run makes."""
    given = {"word": Leaf("ab", lambda: Text("word"))}

    def made() -> str:
        return str(Runner(_GRAPH, Store(room / "cache"), _CODECS).run("louder", given).load())

    clean = made()
    for _ in range(rng.choice((1, 1, 2, 3))):
        files = [p for p in (room / "cache").rglob("*") if p.is_file()]
        if not files:
            break
        file = rng.choice(sorted(files))
        match rng.randrange(5):
            case 0:
                file.unlink()
                os.mkfifo(file)
            case 1:
                file.unlink()
            case 2:
                file.unlink()
                file.mkdir()
            case _:
                file.write_bytes(damaged(file.read_bytes(), rng))
    if rng.random() < 0.5:
        Store(room / "cache").verify()
    if made() != clean:
        raise AssertionError("a damaged entry was served")


CLASSES: dict[str, Callable[[Path, random.Random], None]] = {
    "photos": photos, "views": views, "cameras": cameras, "settings": settings, "caches": caches,
}  # fmt: skip


def one(kind: str, number: int, seed: int) -> str:
    """Run a case: "worked", "sentence", or what went wrong."""
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="img2mesh-fuzz-") as folder:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                with contextlib.redirect_stderr(io.StringIO()):
                    CLASSES[kind](Path(folder), random.Random(f"{kind} {number} {seed}"))
            outcome = "worked"
        except Img2MeshError as error:
            if "fit into memory" in str(error):
                return f"asked for more memory than there was: {error}"[:160]
            outcome = "sentence"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {error}"[:120]
            return f"{told} ({Path(where.filename).name}:{where.lineno})"
    seconds = time.process_time() - began
    return outcome if seconds < _SLOW else f"took {seconds:.0f} s"


def peak_memory() -> int:
    """Most memory this process ever held, kB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    """Read the command line, run, print a table; 1 if there was a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, default=4 << 30, help="bytes of address space")
    parser.add_argument("--only", nargs="+", choices=list(CLASSES), default=list(CLASSES))
    parser.add_argument("--count", type=int, help="cases a class; else those of a campaign")
    parser.add_argument("--at", type=int, help="this one case of each class, with its traceback")
    options = parser.parse_args()
    if options.at is not None:
        for kind in options.only:
            print(kind, one(kind, options.at, options.seed))
        return 0
    with contextlib.suppress(ImportError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (options.memory, options.memory))
    peak = peak_memory()
    ends = time.monotonic() + options.seconds
    counts = {kind: {"worked": 0, "sentence": 0} for kind in options.only}
    faults: list[str] = []
    number = 0
    wanted = {kind: options.count or PLANNED[kind] for kind in options.only}
    while time.monotonic() < ends and any(number < count for count in wanted.values()):
        for kind in options.only:
            # Every class gets its share of the time, whatever its campaign's size.
            if number >= wanted[kind] or time.monotonic() >= ends:
                continue
            outcome, before = one(kind, number, options.seed), peak
            peak = peak_memory()
            if before < _MOST_MEMORY <= peak:
                outcome = f"took {peak // 1000} MB"
            if outcome in counts[kind]:
                counts[kind][outcome] += 1
            else:
                faults.append(f"{kind} --at {number} --seed {options.seed}: {outcome}")
                print(faults[-1], flush=True)
        number += 1
    for kind, row in counts.items():
        done = sum(row.values())
        print(f"{kind:<9} {done:6} done, {row['worked']} worked, {row['sentence']} sentences")
    print(f"{len(faults)} faults, {peak // 1000} MB at most")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
