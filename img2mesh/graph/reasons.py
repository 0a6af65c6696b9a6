"""Why a stage will run: a value, and the sentence it is told in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from img2mesh.graph.keys import canonical
from img2mesh.graph.manifest import Manifest

_SENTENCES = {
    "no_cache": "the cache is off",
    "forced": "it was asked to run again",
    "first_run": "there is no earlier result for this {name}",
    "version": "the stage's version changed from {old} to {new}",
    "setting": "setting {name} changed from {old!r} to {new!r}",
    "identity": "the backend's {name} changed from {old!r} to {new!r}",
    "input": "{name} is not the one the earlier result was made from",
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


def explain_miss(
    past: Iterable[Manifest],
    version: int,
    settings: Mapping[str, Any],
    identity: Mapping[str, str],
    refs: Mapping[str, str],
    leaves: Mapping[str, str],
    running: list[str],
) -> Reason:
    """Why there is no result of this recipe.

    The recipe is held against the most recent result with an input or a leaf in common; the
    stage's own changes are told before those of its inputs.

    Args:
        past: earlier results of the stage, most recently used first.
        version, settings, identity, refs, leaves: the recipe, as in a Manifest.
        running: inputs which will run.
    """
    for old in past:
        alike = any(old.inputs.get(i, {}).get("ref") == ref for i, ref in refs.items())
        if not alike and not any(old.leaves.get(i) == digest for i, digest in leaves.items()):
            continue
        if old.version != version:
            return Reason("version", "", old.version, version)
        now = json.loads(canonical(settings))  # tuples become lists, as in the manifest
        for name in [*now, *old.settings]:
            if old.settings.get(name) != now.get(name):
                return Reason("setting", name, old.settings.get(name), now.get(name))
        for name in [*identity, *old.identity]:
            if old.identity.get(name) != identity.get(name):
                return Reason("identity", name, old.identity.get(name), identity.get(name))
        if running:
            return Reason("upstream", running[0])
        for name, ref in refs.items():
            if old.inputs.get(name, {}).get("ref") != ref:
                return Reason("input", name)
    return Reason("first_run", " and ".join(leaves))
