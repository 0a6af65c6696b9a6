"""``Graph``: stages in reading order, checked edge by edge when it is built."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph.stage import Stage, type_name, unknown


class Graph:
    """Stages wired by parameter names: ``stages`` by name, ``order`` of the names, ``source``.

    Args:
        source: leaf name → type: what comes from outside.
        stages: decorated functions, each after the ones it takes its inputs from.

    Raises:
        Img2MeshError: two stages of one name, an input that nothing upstream makes, or an input
            whose type is not the one that is made.
    """

    def __init__(self, *, source: Mapping[str, Any], stages: Sequence[Callable[..., Any]]) -> None:
        self.source = dict(source)
        self.stages: dict[str, Stage] = {}
        for function in stages:
            found = getattr(function, "stage", None)
            if not isinstance(found, Stage):
                raise Img2MeshError(f"{function!r} is not a stage; decorate it with @stage")
            self._add(found)
        self.order = tuple(self.stages)

    def _add(self, new: Stage) -> None:
        if new.name in self.source:
            raise Img2MeshError(f"stage {new.where} has the name of the source {new.name!r}")
        if new.name in self.stages:
            first = self.stages[new.name].where
            raise Img2MeshError(f"two stages are called {new.name!r}: {first} and {new.where}")
        for name, wanted in new.inputs.items():
            if name in self.stages:
                made, maker = self.stages[name].output, self.stages[name].where
            elif name in self.source:
                made, maker = self.source[name], f"the source {name!r}"
            else:
                upstream = unknown("upstream artifact", name, [*self.source, *self.stages])
                raise Img2MeshError(f"stage {new.where}: {upstream}")
            if not _accepts(wanted, made):
                raise Img2MeshError(
                    f"stage {new.where} takes {name} as {type_name(wanted)}, "
                    f"but {maker} makes {type_name(made)}"
                )
        self.stages[new.name] = new

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Everything a stage hangs on, sources first, then stages in order; not itself."""
        found = self._closure(name, ()) - {name}
        return tuple(one for one in (*self.source, *self.order) if one in found)

    def needed(self, target: str, given: Collection[str]) -> tuple[str, ...]:
        """The stages to go through for the target, in order, where the given names are there.

        Raises:
            InputError: unknown target or given name, or a source which is not given.
        """
        for name in given:
            if name not in self.source and name not in self.stages:
                raise InputError(unknown("input", name, [*self.source, *self.stages]))
        found = self._closure(target, given)
        missing = [name for name in self.source if name in found and name not in given]
        if missing:
            raise InputError(f"{target} needs {' and '.join(missing)}, which was not given")
        return tuple(name for name in self.order if name in found and name not in given)

    def _closure(self, name: str, given: Collection[str]) -> set[str]:
        if name not in self.stages and name not in self.source:
            raise InputError(unknown("stage", name, self.stages))
        found: set[str] = set()
        waiting = [name]
        while waiting:
            one = waiting.pop()
            found.add(one)
            if one in self.stages and one not in given:
                waiting += [name for name in self.stages[one].inputs if name not in found]
        return found

    def mermaid(self) -> str:
        """The diagram, as mermaid text."""
        lines = ["flowchart LR", *(f"    {name}([{name}])" for name in self.source)]
        for one in self.stages.values():
            lines += [f"    {name} --> {one.name}" for name in one.inputs]
        return "\n".join(lines)


def _accepts(wanted: Any, made: Any) -> bool:
    """Whether a parameter annotated ``wanted`` takes what is annotated ``made``."""
    if wanted is Any or wanted == made:
        return True
    if get_origin(made) in (Union, types.UnionType):
        return all(_accepts(wanted, one) for one in get_args(made))
    if get_origin(wanted) in (Union, types.UnionType):
        return any(_accepts(one, made) for one in get_args(wanted))
    return isinstance(wanted, type) and isinstance(made, type) and issubclass(made, wanted)
