"""What a runner tells: what it will do and why, then what it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from img2mesh.graph.manifest import Manifest, fingerprint

_SENTENCES = {
    "no_cache": "the cache is off",
    "forced": "it was asked to run again",
    "first_run": "there is no earlier result for this {name}",
    "version": "the stage's version changed from {old} to {new}",
    "settings": "setting {name} changed from {old!r} to {new!r}",
    "identity": "the backend's {name} changed from {old!r} to {new!r}",
    "inputs": "{name} is not the one the earlier result was made from",
    "upstream": "{name} runs first",
    "damaged": "the cached result is damaged ({old})",
    "format": "the cached result has a format this version does not know ({old})",
}


@dataclass(frozen=True)
class Reason:
    """The one reason why a stage will run."""

    kind: str  # one of _SENTENCES
    name: str = ""  # the setting, identity entry, input, upstream stage or leaf it is about
    old: Any = None  # what it was, or what is wrong with the cached result
    new: Any = None  # what it is now

    @property
    def sentence(self) -> str:
        """The reason for a person, without capital or full stop."""
        return _SENTENCES[self.kind].format(name=self.name, old=self.old, new=self.new)


def explain_miss(past: Iterable[Any], recipe: Any, leaves: Mapping[str, str], run: str) -> Reason:
    """Why there is no result of a recipe, on these leaves, of whose inputs ``run`` will run.

    It is held against the first of the past manifests with all inputs or any leaf in common. The
    stage's own changes come before those of its inputs.
    """
    for old in (one for one in past if isinstance(one, Manifest)):
        if old.recipe["inputs"] == recipe["inputs"] or old.leaves.items() & leaves.items():
            break
    else:
        return Reason("first_run", " and ".join(leaves))
    if old.recipe["version"] != recipe["version"]:
        return Reason("version", "", old.recipe["version"], recipe["version"])
    for part in ("settings", "identity", "inputs"):
        if part == "inputs" and run:
            return Reason("upstream", run)
        was, now = old.recipe[part], recipe[part]
        for name in [*now, *was]:
            if fingerprint(was.get(name)) != fingerprint(now.get(name)):
                return Reason(part, name, was.get(name), now.get(name))
    return Reason("first_run", " and ".join(leaves))


@dataclass(frozen=True)
class Event:
    """Something about a stage."""

    stage: str
    key: str


@dataclass(frozen=True)
class Planned(Event):
    """What will become of a stage, unless what runs upstream comes out the same as before."""

    cached: bool
    reason: Reason | None


class Waiting(Event):
    """Another process is making this very result."""


class Started(Event):
    """The stage's function is about to be called."""


@dataclass(frozen=True)
class Progressed(Event):
    """``fraction`` in [0, 1] of the stage is done."""

    fraction: float
    message: str = ""


class Reused(Event):
    """The result was in the cache."""


@dataclass(frozen=True)
class Finished(Event):
    """The result was made and committed."""

    seconds: float
    notes: tuple[str, ...]
