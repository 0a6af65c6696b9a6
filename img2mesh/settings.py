"""Settings: stage signatures < preset < --config file < --set and flags. Unknown names are errors.

Presets are the TOML files in ``configs/``; each holds one table a stage with only the values that
differ from the signature's defaults.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from img2mesh.errors import InputError
from img2mesh.graph import Graph

Settings = dict[str, dict[str, Any]]


def presets_folder() -> Path:
    """``configs/`` beside the package in a checkout, inside it when installed."""
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


def preset_names() -> list[str]:
    """Names ``--preset`` takes."""
    return sorted(path.stem for path in presets_folder().glob("*.toml"))


def load_preset(name: str) -> Settings:
    """Read a preset by name.

    Raises:
        InputError: unknown preset; lists the known ones.
    """
    names = preset_names()
    if name not in names:
        raise InputError(f"unknown preset {name!r}{_suggest(name, names)}")
    return load_config(presets_folder() / f"{name}.toml")


def load_config(path: Path) -> Settings:
    """Read a TOML file with one table a stage.

    Raises:
        InputError: missing, not TOML, or not made of tables.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a TOML file: {error}") from error
    for stage, table in content.items():
        if not isinstance(table, dict):
            raise InputError(f"{path}: {stage!r} must be a [table] named after a stage")
    return content


def resolve(
    graph: Graph, *layers: Mapping[str, Mapping[str, Any]], assignments: Iterable[str] = ()
) -> Settings:
    """Merge layers (later wins) and ``stage.setting=value`` texts, checked against signatures.

    Raises:
        InputError: unknown stage or setting (with a suggestion), or a value of the wrong type.
    """
    merged: Settings = {}
    for layer in layers:
        for stage, table in layer.items():
            for name, value in table.items():
                annotation = _annotation(graph, stage, name)
                merged.setdefault(stage, {})[name] = _checked(stage, name, value, annotation)
    for text in assignments:
        target, separator, raw = text.partition("=")
        stage, dot, name = target.strip().partition(".")
        if not separator or not dot:
            raise InputError(f"--set takes stage.setting=value, got {text!r}")
        name = name.replace("-", "_")
        annotation = _annotation(graph, stage, name)
        merged.setdefault(stage, {})[name] = _parsed(stage, name, raw.strip(), annotation)
    return merged


def _annotation(graph: Graph, stage: str, name: str) -> Any:
    if stage not in graph.stages:
        raise InputError(f"unknown stage {stage!r}{_suggest(stage, list(graph.stages))}")
    settings = graph.stages[stage].settings
    if name not in settings:
        hint = _suggest(name, list(settings))
        raise InputError(f"the stage {stage} has no setting {name!r}{hint}")
    return settings[name].annotation


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(known)}" if known else "; there are none"


def _alternatives(annotation: Any) -> tuple[type, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _checked(stage: str, name: str, value: Any, annotation: Any) -> Any:
    """A value that already has a type (TOML, flags): ints pass for floats, nothing else bends."""
    if typing.get_origin(annotation) is typing.Literal:
        return _chosen(stage, name, value, annotation)
    for kind in _alternatives(annotation):
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is kind:
            return value
    raise _wrong(stage, name, value, annotation)


def _parsed(stage: str, name: str, raw: str, annotation: Any) -> Any:
    """A value typed by the user as text."""
    if typing.get_origin(annotation) is typing.Literal:
        return _chosen(stage, name, raw, annotation)
    for kind in sorted(_alternatives(annotation), key=lambda kind: kind is not type(None)):
        if kind is type(None) and raw.lower() in ("none", ""):
            return None
        if kind is bool and raw.lower() in ("true", "false", "yes", "no", "1", "0"):
            return raw.lower() in ("true", "yes", "1")
        if kind in (int, float):
            try:
                return kind(raw)
            except ValueError:
                continue
        if kind is str:
            return raw
    raise _wrong(stage, name, raw, annotation)


def _chosen(stage: str, name: str, value: object, annotation: Any) -> object:
    options = typing.get_args(annotation)
    if value not in options:
        hint = _suggest(str(value), list(options))
        raise InputError(f"{stage}.{name} cannot be {value!r}{hint}")
    return value


def _wrong(stage: str, name: str, value: object, annotation: Any) -> InputError:
    expected = " or ".join(
        "none" if kind is type(None) else kind.__name__ for kind in _alternatives(annotation)
    )
    return InputError(f"{stage}.{name} expects {expected}, got {value!r}")
