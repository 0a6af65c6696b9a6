"""``@stage``: read a function's signature into wiring and settings; the function stays itself.

positional = artifacts · keyword-only = settings · ``run: Run | None = None`` = where and how
"""

from __future__ import annotations

import difflib
import inspect
import math
import tempfile
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from img2mesh.errors import Img2MeshError, InputError

F = TypeVar("F", bound=Callable[..., Any])
Identity = Callable[..., Mapping[str, str]]


class Run:
    """Where and how a stage runs, never in a key. ``Run()`` is for stages called from Python."""

    def __init__(
        self,
        device: str = "auto",
        scratch: Path | None = None,
        on_progress: Callable[[float, str], None] = lambda fraction, message: None,
        low_memory: bool = False,
    ) -> None:
        self.device, self.low_memory = device, low_memory
        self.notes: list[str] = []
        self._scratch = scratch
        self._on_progress = on_progress

    @property
    def scratch(self) -> Path:
        """A folder for checkpoints, made on first use; temporary outside a runner.

        In a runner it belongs to the key and the digests of the inputs, survives crashes and
        interruptions, and is removed when the result is committed.
        """
        if self._scratch is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="scratch-")
            self._scratch = Path(self._temporary.name)
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how much is done, in [0, 1]."""
        self._on_progress(min(max(float(fraction), 0.0), 1.0), message)

    def note(self, sentence: str) -> None:
        """Leave a sentence for the user; it is stored with the result and said again on reuse."""
        if sentence not in self.notes:
            self.notes.append(sentence)


@dataclass(frozen=True)
class Stage:
    """What the engine knows of a stage."""

    name: str  # of the function, the stage and the artifact it makes
    where: str  # module and name of the function, for errors
    version: int  # bumped by hand whenever the results change
    function: Callable[..., Any]
    inputs: Mapping[str, Any]  # artifact → annotated type, in the order of the parameters
    settings: Mapping[str, inspect.Parameter]  # annotations resolved, defaults normalised
    output: Any  # annotated return type
    identity: Identity | None
    takes_run: bool
    doc: str

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every setting: the given ones normalised, or an InputError; defaults for the rest."""
        resolved = {name: setting.default for name, setting in self.settings.items()}
        for name, value in given.items():
            if name not in self.settings:
                raise InputError(unknown(f"setting of {self.name}", name, self.settings))
            annotation = self.settings[name].annotation
            resolved[name] = normalise(value, annotation, f"{self.name}.{name}")
        return resolved


def stage(*, version: int, identity: Identity | None = None) -> Callable[[F], F]:
    """Declare a function to be a stage; it comes back unchanged but for its ``.stage`` attribute.

    Args:
        version: part of the key; bump it when the results change.
        identity: called with all settings, cheap; what it returns (a hash, say) joins the key.
    """

    def declare(function: F) -> F:
        function.stage = _read(function, version, identity)  # type: ignore[attr-defined]
        return function

    return declare


def _read(function: Callable[..., Any], version: int, identity: Identity | None) -> Stage:
    where, hints = f"{function.__module__}.{function.__qualname__}", get_type_hints(function)
    inputs: dict[str, Any] = {}
    settings: dict[str, inspect.Parameter] = {}
    parameters = inspect.signature(function).parameters
    for name, one in parameters.items():
        keyword, wrong = one.kind is one.KEYWORD_ONLY, ""
        if name not in hints or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            wrong = "needs an annotation and no asterisk"
        elif name == "run" or hints[name] in (Run, Run | None):
            wrong = "" if name == "run" and keyword else "must be `*, run: Run | None = None`"
        elif keyword == (one.default is one.empty):
            wrong = "is no setting (those follow a `*` and have defaults) and no artifact either"
        elif keyword:
            default = normalise(one.default, hints[name], f"{where}: the default of {name}")
            settings[name] = one.replace(annotation=hints[name], default=default)
        else:
            inputs[name] = hints[name]
        if wrong:
            raise Img2MeshError(f"stage {where}: parameter {name} {wrong}")
    output = hints.get("return", types.NoneType)
    if output is types.NoneType:
        raise Img2MeshError(f"stage {where} needs a return annotation: the artifact it makes")
    wiring = (version, function, inputs, settings, output, identity, "run" in parameters)
    return Stage(function.__name__, where, *wiring, inspect.getdoc(function) or "")


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """``unknown stage 'veiws'; did you mean 'views'? there are: cutout, views``."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"unknown {what} {name!r}{hint} there are: {', '.join(known) or 'none'}"


def normalise(value: Any, kind: Any, what: str) -> Any:
    """The value in the one form its annotation gives it, so that 4 and 4.0 make the same key.

    str, int, float, bool, None, Literal, unions, tuples and lists; else InputError on ``what``.
    """
    origin, args = get_origin(kind), get_args(kind)
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if origin in (Union, types.UnionType):
        # The exact type first: 1 stays an int in `float | int`.
        for option in sorted(args, key=lambda option: type(value) is not option):
            try:
                return normalise(value, option, what)
            except InputError:
                continue
    elif origin in (tuple, list) and isinstance(value, tuple | list):
        kinds = [args[0]] * len(value) if origin is list or args[-1] is Ellipsis else args
        if len(kinds) == len(value):
            pairs = zip(value, kinds, strict=True)
            return origin(normalise(one, inner, what) for one, inner in pairs)
    elif kind is float and number:
        return float(value) + 0.0  # −0.0 becomes 0.0
    elif kind is int and number and value == int(value):
        return int(value)
    elif kind is str and isinstance(value, str):
        return str(value)
    elif origin is Literal and value in args:
        return args[args.index(value)]
    elif kind in (bool, types.NoneType) and type(value) is kind:
        return value
    raise InputError(f"{what} must be {inspect.formatannotation(kind)}, got {value!r}")
