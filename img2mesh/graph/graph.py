"""``Graph``: stages in reading order, checked edge by edge when it is built."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import formatannotation
from types import UnionType
from typing import Any

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph.stage import Stage, unknown


class Graph:
    """Stages wired by parameter names: ``stages`` by name, their ``order``, and the ``source``.

    Args:
        source: leaf name → type: what comes from outside.
        stages: decorated functions, each after the ones it takes its inputs from. A name made
            twice, an input that nothing upstream makes or makes as another type: Img2MeshError.
    """

    def __init__(self, *, source: Mapping[str, Any], stages: Sequence[Callable[..., Any]]) -> None:
        self.source = dict(source)
        self.stages: dict[str, Stage] = {}
        self._makers = {name: (kind, f"the source {name!r}") for name, kind in source.items()}
        for function in stages:
            self._add(function.stage)  # type: ignore[attr-defined]
        self.order = tuple(self.stages)

    def _add(self, new: Stage) -> None:
        if new.name in self._makers:
            first = self._makers[new.name][1]
            raise Img2MeshError(f"two things are called {new.name!r}: {first} and {new.where}")
        for name, wanted in new.inputs.items():
            if name not in self._makers:
                upstream = unknown("upstream artifact", name, self._makers)
                raise Img2MeshError(f"stage {new.where}: {upstream}")
            made, maker = self._makers[name]
            fits = isinstance(wanted, type | UnionType) and isinstance(made, type)
            if wanted not in (made, Any) and not (fits and issubclass(made, wanted)):
                kinds = formatannotation(wanted), formatannotation(made)
                raise Img2MeshError(
                    f"stage {new.where} takes {name} as {kinds[0]}, but {maker} makes {kinds[1]}"
                )
        self.stages[new.name] = new
        self._makers[new.name] = (new.output, new.where)

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Everything a stage hangs on, sources first, then stages in order; not itself."""
        found = self._closure(name, ()) - {name}
        return tuple(one for one in self._makers if one in found)

    def needed(self, target: str, given: Collection[str]) -> tuple[str, ...]:
        """The stages to go through for the target, in order, where the given names are there."""
        found = self._closure(target, given)
        for name in given:
            self._closure(name, given)
        missing = [name for name in self.source if name in found and name not in given]
        if missing:
            raise InputError(f"{target} needs {' and '.join(missing)}, which was not given")
        return tuple(name for name in self.order if name in found and name not in given)

    def _closure(self, target: str, given: Collection[str]) -> set[str]:
        if target not in self._makers:
            raise InputError(unknown("stage", target, self._makers))
        found: set[str] = set()
        waiting = [target]
        while waiting:
            name = waiting.pop()
            found.add(name)
            if name in self.stages and name not in given:
                waiting += set(self.stages[name].inputs) - found
        return found

    def mermaid(self) -> str:
        """The diagram, as mermaid text."""
        lines = ["flowchart LR", *(f"    {name}([{name}])" for name in self.source)]
        for one in self.stages.values():
            lines += [f"    {name} --> {one.name}" for name in one.inputs]
        return "\n".join(lines)
