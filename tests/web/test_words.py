"""What the page says: notes with a remedy, and how far a making is."""

from __future__ import annotations

import pytest

from img2mesh.web import notes, progress
from img2mesh.web.items import Version


@pytest.mark.parametrize(
    ("said", "code", "shown", "remedy"),
    [
        ("the object was found with low confidence (0.60): look at cutout.png, and pass --box or "
         "--mask if it is wrong", "cutout-unsure",
         "It is not sure that this is the object: look at the outline on the photo.", "cutout"),
        ("there is more than one object: the larger, more central one was kept; say which with "
         "--box or --mask if another was meant", "several-objects",
         "There is more than one object: the larger, more central one was taken.", "cutout"),
        ("20000 faces were asked for and 9000 kept: the field's grid holds no more; "
         "--mc-resolution makes it finer", "grid-too-coarse",
         "20000 faces were asked for and 9000 kept: the field's grid holds no more", "finer"),
        ("something thin, 7% of its size, hangs on the object and was left out: if it belongs to "
         "it, say so with --mask", "parts-left-out",
         "Something thin, 7% of its size, hangs on the object and was left out", "cutout"),
        ("the outlines show 2 things: they stay separate (--parts join makes one body of them)",
         "note", "The outlines show 2 things: they stay separate", ""),
        ("u2netp is not on this machine (img2mesh models fetch u2netp): the object was found "
         "without a network", "no-network",
         "U2netp is not on this machine: the object was found without a network", "cutout"),
        ("the photo was upside down", "note", "The photo was upside down", ""),
    ],
)  # fmt: skip
def test_a_note_has_the_page_s_own_words_and_a_remedy(
    said: str, code: str, shown: str, remedy: str
) -> None:
    (note,) = notes.of([said])
    assert (note.code, note.text, note.remedy, note.usual) == (code, shown, remedy, False)


def test_a_doubt_is_told_once_and_first() -> None:
    told = notes.of([
        "the object is cut off by the edge of the picture: what lies beyond it is not known",
        "the object was found with low confidence (0.50): look at cutout.png, and pass --box",
        "2% of the surface was seen in no view and is filled in",
        "the object was found with confidence 0.50", "the mesh is not watertight",
    ])  # fmt: skip
    assert [note.code for note in told] == ["cutout-unsure", "cut-off", "open-mesh", "guess"]
    assert [note.usual for note in told] == [False, False, False, True]


def test_what_stands_on_every_photo_comes_last() -> None:
    told = notes.of(["geometric prior: unseen sides are a guess from the outline", "it is flat"])
    assert [note.usual for note in told] == [False, True]


def test_the_bar_never_goes_back_and_the_time_left_shrinks() -> None:
    stages = ("cutout", "views", "radiance", "files")
    usual = {"cutout": 2.0, "views": 8.0, "radiance": 20.0, "files": 1.0}
    seen = [progress.overall(Version(1), stages, usual, 0.0)]
    for stage, began in (("cutout", 0.0), ("views", 3.0), ("radiance", 9.0), ("files", 40.0)):
        for fraction in (0.0, 0.5, 1.0):
            version = Version(1, stage=stage, fraction=fraction, since=began)
            seen.append(progress.overall(version, stages, usual, began + 4 * fraction))
    fractions, left = zip(*seen, strict=True)
    assert list(fractions) == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert left[0] == 31 and left[-1] < 1


def test_what_a_stage_takes_is_learned_but_not_from_the_cache() -> None:
    made = Version(
        1,
        state="done",
        seconds={"views": 3.0, "radiance": 0.1},
        result={"cached": {"radiance": True}},
    )
    expected = progress.learned_from({"views": 9.0, "radiance": 20.0}, made)
    assert expected == {"views": 3.0, "radiance": 20.0}
