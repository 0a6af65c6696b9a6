"""Notes of the rooms in this door's words: a code, a sentence, and what the page can do about it.

Rooms write for whoever reads a report, and name flags of the command line as the remedy. On the
page the remedy is a button.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from img2mesh.report import words


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        code: for programs; ``note`` where there is none of its own.
        text: one sentence.
        usual: it stands on every photo alike, so it says nothing about this one.
        remedy: ``cutout`` (correct it), ``finer`` (a finer grid), ``faces`` (fewer or more of
            them), or empty.
    """

    code: str
    text: str
    usual: bool = False
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """As the page gets it."""
        return {
            "code": self.code, "text": self.text, "usual": self.usual, "remedy": self.remedy,
        }  # fmt: skip


#: What a sentence holds, and the code, the page's own words ({0} is the sentence) and the remedy.
_KNOWN: tuple[tuple[str, str, str, str], ...] = (
    (r"found with (low )?confidence", "cutout-unsure",
     "It is not sure that this is the object: look at the outline on the photo.", "cutout"),
    (r"no object was found", "cutout-refused",
     "No object could be told from its background: show where it is.", "cutout"),
    (r"more than one object", "several-objects",
     "There is more than one object: the larger, more central one was taken.", "cutout"),
    (r"cut off by the edge", "cut-off", "{0}", "cutout"),
    (r"separate parts", "parts", "{0}", "cutout"),
    (r"left out|may be missing", "parts-left-out", "{0}", "cutout"),
    (r"is in \d+ pieces", "pieces", "{0}", "cutout"),
    (r"grid holds no more", "grid-too-coarse", "{0}", "finer"),
    (r"gave no closed surface", "remeshing", "{0}", "faces"),
    (r"not (watertight|manifold)", "open-mesh", "{0}", "finer"),
    (r"was found without a network", "no-network", "{0}", "cutout"),
)  # fmt: skip
_ORDER = [code for _, code, _, _ in _KNOWN]
#: What tells what to write on a command line: in brackets or aside, and as the end of a sentence.
_ASIDE = re.compile(r" \([^()]*(--[a-z]|img2mesh (run|models))[^()]*\)|, as --[a-z]+ \w+ asks")
_ADVICE = re.compile(r"[;:][^;:]*(--[a-z]|img2mesh (run|models)).*$", re.DOTALL)
_OF_THE_CUTOUT = re.compile(r"--(mask|box)\b")


def of(said: Iterable[str]) -> list[Note]:
    """The notes of a report's warnings and its verdict's reasons.

    Each is told once, those special to the photo first, and of them those about its cutout.
    """
    told: dict[str, Note] = {}
    for note in map(_note, map(str, said)):
        told.setdefault(note.text if note.code in ("note", "guess") else note.code, note)

    def rank(note: Note) -> tuple[bool, int]:
        return note.usual, _ORDER.index(note.code) if note.code in _ORDER else len(_ORDER)

    return sorted(told.values(), key=rank)


def _note(warning: str) -> Note:
    if words.is_usual(warning):
        return Note("guess", warning, usual=True)
    for pattern, code, text, remedy in _KNOWN:
        if re.search(pattern, warning):
            return Note(code, text.format(for_the_page(warning)), remedy=remedy)
    remedy = "cutout" if _OF_THE_CUTOUT.search(warning) else ""
    return Note("note", for_the_page(warning), remedy=remedy)


def for_the_page(sentence: str) -> str:
    """A sentence without the part that names flags, which nobody can give to a page."""
    kept = _ADVICE.sub("", _ASIDE.sub("", sentence)).strip()
    kept = kept if len(kept) >= 12 else sentence
    return kept[:1].upper() + kept[1:]
