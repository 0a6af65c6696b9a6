"""What is known of one photo: immutable values, and how what happens changes them.

A photo is made in versions: the first with the server's settings, the others with what its owner
changed. Each version goes ``cutting`` (its outline is looked for), perhaps ``asking`` (its owner
says whether that is the object), ``waiting``, ``running``, and ends ``done``, ``failed`` or
``cancelled``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FINISHED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Version:
    """One making of a photo.

    Attributes:
        number: 1 for the first.
        wish: what was asked for beside the server's settings: ``preset``, ``settings``,
            ``formats``, ``until``, and of the cutout ``box``, ``whole``, ``mask`` or ``accept``.
        state: see the module.
        stage: what is being done; empty while the worker starts.
        fraction: of the stage that is done.
        since: when the stage began, by a clock that only goes forward.
        seconds: what the stages before it took here, which is nothing for those in the cache.
        error: the one sentence of a failure.
        result: ``folder``, ``files``, ``quality``, ``warnings``, ``seconds``, ``cached``.
    """

    number: int
    wish: Mapping[str, Any] = field(default_factory=dict)
    state: str = "waiting"
    stage: str = ""
    fraction: float = 0.0
    since: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """A photo.

    Attributes:
        id: unguessable; the address of its files.
        photo: where it was stored; gone for what only its output folder is left of.
        versions: at least one, the newest last.
        asks: stop before the making where the cutout is unsure, since somebody is there to ask.
        group: what it was dropped in together with others, or empty.
        outline: what :func:`img2mesh.web.clerk.answer` said of its cutout; empty before.
        revision: of the queue, when the photo last changed.
    """

    id: str
    photo: Path
    versions: tuple[Version, ...] = (Version(1),)
    asks: bool = False
    group: str = ""
    outline: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0

    @property
    def last(self) -> Version:
        """The newest version."""
        return self.versions[-1]

    @property
    def state(self) -> str:
        """The newest version's, but what was ever done stays done."""
        ended = self.last.state in ("failed", "cancelled")
        done = any(version.state == "done" for version in self.versions)
        return "done" if ended and done else self.last.state

    def version(self, number: int) -> Version | None:
        """A version by its number."""
        return next((one for one in self.versions if one.number == number), None)

    def becoming(self, **changes: Any) -> Item:
        """The photo with its newest version changed."""
        return replace(self, versions=(*self.versions[:-1], replace(self.last, **changes)))


def updated(version: Version, message: Mapping[str, Any], now: float, photo: Path) -> Version:
    """The version after a message of its worker; see :mod:`img2mesh.worker.protocol`."""
    match message["kind"]:
        case "stage" if message["stage"] == version.stage:
            return replace(version, fraction=message["fraction"])
        case "stage":
            return replace(
                _with_stage_time(version, now),
                stage=message["stage"],
                fraction=message["fraction"],
                since=now,
            )
        case "done":
            return replace(_with_stage_time(version, now), state="done", result=message["result"])
        case "failed" | "lost":
            error = sentence(photo, str(message["error"]))
            return replace(version, state="failed", error=error)
    return version


def sentence(photo: Path, error: str) -> str:
    """The error, with the photo called what its owner calls it."""
    return error.replace(str(photo), photo.name)


def _with_stage_time(version: Version, now: float) -> Version:
    """The version when the stage that it was at is over."""
    if not version.stage:
        return version
    took = {version.stage: round(now - version.since, 1)}
    return replace(version, seconds={**version.seconds, **took})


def drawn_by(generator: str, *, learned: bool, licences: tuple[str, ...] = ()) -> str:
    """Who drew the sides that the photo does not show: what nobody may take for something else."""
    if learned:
        terms = ", ".join(licences) or "licence not stated"
        return f"{generator}: a learned model ({terms}); unseen sides are its guess"
    return (
        f"{generator}: weight-free, nothing learned; unseen sides are a guess from the photo's "
        "outline and colours"
    )
