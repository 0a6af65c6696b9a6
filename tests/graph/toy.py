"""A toy graph of numbers and texts in files: the engine's tests need no pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2mesh.graph import Codec, Graph, Leaf, Run, Runner, Store, stage

CALLS: list[str] = []  # names of the stages whose functions were called, in order
LOADS: list[str] = []  # what was read: "seed" for the leaf, "number" or "text" from the cache


@dataclass(frozen=True)
class Number:
    value: int


@dataclass(frozen=True)
class Text:
    words: tuple[str, ...]


def speller(*, language: str, **_: Any) -> dict[str, str]:
    return {"speller": f"{language}-1"}


@stage(version=1)
def doubled(seed: Number, *, factor: int = 2) -> Number:
    """Multiply."""
    CALLS.append("doubled")
    return Number(seed.value * factor)


@stage(version=3, identity=speller)
def spelled(
    doubled: Number,
    *,
    language: str = "en",
    loudness: float = 4.0,
    ends: tuple[int, ...] = (1, 2),
    run: Run | None = None,
) -> Text:
    """Write it out."""
    run = run or Run()
    CALLS.append("spelled")
    run.progress(0.5, "half")
    run.note(f"spelled in {language}")
    return Text((language, str(doubled.value), str(loudness), *map(str, ends)))


@stage(version=1)
def signed(spelled: Text, doubled: Number, *, author: str | None = None) -> Text:
    """Sign it."""
    CALLS.append("signed")
    return Text((*spelled.words, f"{author}:{doubled.value}"))


GRAPH = Graph(source={"seed": Number}, stages=[doubled, spelled, signed])


def save_number(folder: Path, number: Number) -> None:
    (folder / "number.txt").write_text(str(number.value))


def load_number(folder: Path) -> Number:
    LOADS.append("number")
    return Number(int((folder / "number.txt").read_text()))


def save_text(folder: Path, text: Text) -> None:
    (folder / "words").mkdir()
    for index, word in enumerate(text.words):
        (folder / "words" / f"{index:03}.txt").write_text(word)


def load_text(folder: Path) -> Text:
    LOADS.append("text")
    return Text(tuple(path.read_text() for path in sorted((folder / "words").glob("*.txt"))))


CODECS: dict[type, Codec[Any]] = {
    Number: Codec(1, save_number, load_number),
    Text: Codec(1, save_text, load_text),
}


def leaf(value: int) -> Leaf[Number]:
    def load() -> Number:
        LOADS.append("seed")
        return Number(value)

    return Leaf(hashlib.sha256(str(value).encode()).hexdigest(), load)


def runner(store: Store | None, settings: Any = None, **more: Any) -> Runner:
    return Runner(more.pop("graph", GRAPH), store, more.pop("codecs", CODECS), settings, **more)


def run(store: Store | None, settings: Any = None, value: int = 21, **more: Any) -> list[str]:
    """Run to the end; the stages whose functions were called."""
    CALLS.clear()
    LOADS.clear()
    runner(store, settings, **more).run("signed", {"seed": leaf(value)})
    return list(CALLS)


def reasons(store: Store, settings: Any = None, value: int = 21, **more: Any) -> dict[str, Any]:
    """Plan to the end; stage → kind of reason, None where cached."""
    plan = runner(store, settings, **more).plan("signed", {"seed": leaf(value)})
    return {one.stage: one.reason.kind if one.reason else None for one in plan}


def sentence(store: Store, stage: str, settings: Any = None, **more: Any) -> str:
    """The sentence in which a plan tells why a stage runs."""
    plan = runner(store, settings, **more).plan("signed", {"seed": leaf(21)})
    reason = next(one.reason for one in plan if one.stage == stage)
    assert reason is not None
    return reason.sentence


def folder_of(store: Store, stage: str) -> Path:
    """The entry of a stage, of which there is just one."""
    (item,) = (item for item in store.entries() if item.stage == stage)
    return item.folder


def leftovers(store: Store) -> list[Path]:
    """What lies on the desks of runs."""
    return list((store.root / "tmp").glob("*"))
