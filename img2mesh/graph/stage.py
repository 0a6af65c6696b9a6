"""``@stage``: read a function's signature into wiring and settings; the function stays itself.

positional = artifacts · keyword-only = settings · ``run: Run | None = None`` = where and how
"""

from __future__ import annotations

import difflib
import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph.run import Run

F = TypeVar("F", bound=Callable[..., Any])
Identity = Callable[..., Mapping[str, str]]


@dataclass(frozen=True)
class Setting:
    """One keyword-only parameter."""

    name: str
    annotation: Any
    default: Any  # normalised


@dataclass(frozen=True)
class Stage:
    """What the engine knows of a stage."""

    name: str  # of the function, the stage and the artifact it makes
    version: int  # bumped by hand whenever the results change
    function: Callable[..., Any]
    inputs: Mapping[str, Any]  # artifact → annotated type, in the order of the parameters
    settings: Mapping[str, Setting]  # in the order of the signature
    output: Any  # annotated return type
    identity: Identity | None
    takes_run: bool
    doc: str

    @property
    def where(self) -> str:
        """Module and name of the function, for errors."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every setting: the given ones normalised to their annotations, defaults for the rest.

        Raises:
            InputError: a setting the stage does not have, or a value its annotation forbids.
        """
        for name in given:
            if name not in self.settings:
                raise InputError(unknown(f"setting of {self.name}", name, self.settings))
        resolved = {name: setting.default for name, setting in self.settings.items()}
        for name, value in given.items():
            annotation = self.settings[name].annotation
            resolved[name] = normalise(value, annotation, f"{self.name}.{name}")
        return resolved


def stage(*, version: int, identity: Identity | None = None) -> Callable[[F], F]:
    """Declare a function to be a stage; it comes back unchanged but for its ``.stage`` attribute.

    Args:
        version: part of the key; bump it when the results change.
        identity: ``identity(**settings) -> dict[str, str]``, cheap and without heavy imports;
            what it returns (a checkpoint's hash, say) becomes part of the key.

    Raises:
        Img2MeshError: when the function is declared, on a signature that cannot be read so.
    """

    def declare(function: F) -> F:
        function.stage = _read(function, version, identity)  # type: ignore[attr-defined]
        return function

    return declare


def _read(function: Callable[..., Any], version: int, identity: Identity | None) -> Stage:
    where = f"stage {function.__module__}.{function.__qualname__}"
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise Img2MeshError(f"{where}: {error}; import it outside TYPE_CHECKING") from error
    inputs: dict[str, Any] = {}
    settings: dict[str, Setting] = {}
    parameters = inspect.signature(function).parameters
    for name, one in parameters.items():
        if name not in hints or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            raise Img2MeshError(f"{where}: {name} must be one parameter with an annotation")
        if name == "run" or hints[name] in (Run, Run | None):
            if name != "run" or one.kind is not one.KEYWORD_ONLY:
                raise Img2MeshError(f"{where}: write `*, run: Run | None = None`, not {name}")
        elif one.kind is one.KEYWORD_ONLY:
            if one.default is one.empty:
                raise Img2MeshError(f"{where}: setting {name} needs a default")
            default = normalise(one.default, hints[name], f"{where}: the default of {name}")
            settings[name] = Setting(name, hints[name], default)
        elif one.default is not one.empty:
            raise Img2MeshError(f"{where}: {name} has a default; settings go behind a `*`")
        else:
            inputs[name] = hints[name]
    if hints.get("return") in (None, types.NoneType):
        raise Img2MeshError(f"{where} needs a return annotation: the artifact it makes")
    doc, name, takes_run = inspect.getdoc(function) or "", function.__name__, "run" in parameters
    output = hints["return"]
    return Stage(name, version, function, inputs, settings, output, identity, takes_run, doc)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """``unknown stage 'veiws'; did you mean 'views'? there are: cutout, views``."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"unknown {what} {name!r}{hint} there are: {', '.join(names) or 'none'}"


def type_name(annotation: Any) -> str:
    """``Cutout`` for a class, the written form for ``str | None`` and its kind."""
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return name.replace("typing.", "")


def normalise(value: Any, annotation: Any, what: str) -> Any:
    """The value in the one form its annotation gives it, so that 4 and 4.0 make the same key.

    str, int, float, bool, None, Literal, unions, tuples and lists of these.

    Raises:
        InputError: the value does not fit, or is NaN or infinite.
    """
    try:
        return _fit(value, annotation)
    except ValueError:
        message = f"{what} must be {type_name(annotation)} (and finite), got {value!r}"
        raise InputError(message) from None


def _fit(value: Any, kind: Any) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if origin in (Union, types.UnionType):
        # The exact type first: 1 stays an int in `float | int`.
        for option in sorted(args, key=lambda option: type(value) is not option):
            try:
                return _fit(value, option)
            except ValueError:
                continue
    elif origin is Literal:
        if any(value == one and type(value) is type(one) for one in args):
            return value
    elif origin in (tuple, list) and isinstance(value, tuple | list):
        many = origin is list or args[-1] is Ellipsis
        if many or len(args) == len(value):
            kinds = [args[0]] * len(value) if many else args
            return origin(_fit(one, inner) for one, inner in zip(value, kinds, strict=True))
    elif kind is float and number:
        return float(value) + 0.0  # −0.0 becomes 0.0
    elif kind is int and number and value == int(value):
        return int(value)
    elif kind is str and isinstance(value, str):
        return str(value)
    elif (kind is bool and isinstance(value, bool)) or (kind is types.NoneType and value is None):
        return value
    raise ValueError(kind)
