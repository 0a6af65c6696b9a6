"""A photo as the page and programs get it: plain JSON, made anew whenever it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from img2mesh.report import words
from img2mesh.web import notes, progress
from img2mesh.web.clerk import SHOWN
from img2mesh.web.items import Item, Version, drawn_by


def card(
    item: Item,
    now: float,
    *,
    ahead: int,
    stages: tuple[str, ...],
    expected: Mapping[str, float],
) -> dict[str, Any]:
    """One photo.

    Args:
        item: the photo.
        now: by the clock of ``Version.since``.
        ahead: photos that come before it.
        stages: those of the whole, in order.
        expected: seconds each of them takes.
    """
    return {
        "id": item.id,
        "name": item.photo.name,
        "group": item.group,
        "state": item.state,
        "revision": item.revision,
        "photo": (item.photo.parent / SHOWN).is_file(),
        "here": item.photo.is_file(),
        "outline": _outline(item),
        "versions": [
            _version(item, one, now, ahead=ahead, stages=stages, expected=expected)
            for one in item.versions
        ],
    }


def _outline(item: Item) -> dict[str, Any] | None:
    if not item.outline:
        return None
    return {key: value for key, value in item.outline.items() if key != "digest"}


def _version(
    item: Item,
    version: Version,
    now: float,
    *,
    ahead: int,
    stages: tuple[str, ...],
    expected: Mapping[str, float],
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "number": version.number,
        "state": version.state,
        "wish": {k: v for k, v in version.wish.items() if k != "mask"},
        "masked": "mask" in version.wish,
    }
    match version.state:
        case "waiting":
            told |= {"ahead": ahead}
        case "running":
            fraction, left = progress.overall(version, stages, expected, now)
            told |= {
                "stage": version.stage,
                "fraction": round(fraction, 3),
                "stage_fraction": version.fraction,
                "seconds_left": round(left) if version.stage else None,
                "seconds": dict(version.seconds),
            }
        case "failed":
            told |= {"error": notes.for_the_page(version.error), "stage": version.stage}
        case "done":
            told |= {"seconds": dict(version.seconds), **_outcome(item, version)}
    return told


def _outcome(item: Item, version: Version) -> dict[str, Any]:
    result, quality = version.result, version.result["quality"]
    generator = str(quality.get("generator", "unknown"))
    learned = bool(quality.get("learned_weights"))
    licences = tuple(map(str, quality.get("licences") or ()))
    return {
        "folder": result["folder"],
        "files": result["files"],
        "drawn_by": drawn_by(generator, learned=learned, licences=licences),
        "report": {
            **quality,
            "seconds_this_run": result["seconds"],
            "cached": result["cached"],
        },
        "sentences": words.sentences(quality),
        "shares": words.shares(quality),
        "notes": [
            note.as_json()
            for note in notes.of(
                [*result["warnings"], *(quality.get("verdict") or {}).get("reasons", ())]
            )
        ],
    }
