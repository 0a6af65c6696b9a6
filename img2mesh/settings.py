"""Settings: stage signatures < preset < --config file < --set and flags. Unknown names are errors.

Presets are the TOML files in ``configs/``; each holds one table a stage with only the values that
differ from the signature's defaults.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from img2mesh.core.ranges import Between
from img2mesh.errors import InputError
from img2mesh.graph import Graph
from img2mesh.graph.stage import normalise, unknown

Settings = dict[str, dict[str, Any]]

#: What stages and settings were called once; who still writes the old name is told the new one.
RENAMED = {"posed": "registered", "engine": "game", "radiance.fog_steps": "radiance.density_steps"}

#: Words of ``--set`` that TOML does not know, or reads as something else.
_WORDS = {
    "": None, "none": None, "true": True, "yes": True, "1": True, "false": False, "no": False,
    "0": False,
}  # fmt: skip


#: The table of a preset that is about files and no stage.
_FILES = "files"


def presets_folder() -> Path:
    """``configs/`` beside the package in a checkout, inside it when installed."""
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


def preset_names(folder: str = "") -> list[str]:
    """Names ``--preset`` takes, or those in a sub-folder."""
    return sorted(path.stem for path in (presets_folder() / folder).glob("*.toml"))


def load_preset(name: str, folder: str = "") -> Settings:
    """Read a preset by name, in ``configs/`` or a sub-folder of it.

    Raises:
        InputError: unknown preset; lists the known ones.
    """
    names = preset_names(folder)
    if name not in names:
        raise InputError(unknown("preset", name, names))
    content = load_config(presets_folder() / folder / f"{name}.toml")
    return {stage: table for stage, table in content.items() if stage != _FILES}


def preset_files(name: str) -> dict[str, Any]:
    """Which files a preset wants: ``formats`` and whether they are for ``printing``.

    Raises:
        InputError: unknown preset.
    """
    load_preset(name)
    return load_config(presets_folder() / f"{name}.toml").get(_FILES, {})


def load_config(path: Path) -> Settings:
    """Read a TOML file with one table a stage.

    Raises:
        InputError: missing, not TOML, or not made of tables.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe may never end
        raise InputError(f"the config file {path} is no regular file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the config file {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
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
                merged.setdefault(stage, {})[name] = _fitting(graph, stage, name, value, [value])
    for text in assignments:
        target, equals, raw = text.partition("=")
        stage, dot, name = target.strip().partition(".")
        if not equals or not dot:
            raise InputError(f"--set takes stage.setting=value, got {text!r}")
        name, raw = name.replace("-", "_"), raw.strip()
        merged.setdefault(stage, {})[name] = _fitting(graph, stage, name, raw, _readings(raw))
    return merged


def known_stage(graph: Graph, name: str) -> str:
    """The name itself.

    Raises:
        InputError: no such stage; lists the stages, or tells the name it has now.
    """
    return _known("stage", name, graph.order, "")


def stage_called(graph: Graph, name: str) -> str:
    """The stage of a name, or of one that it had once: commands that people keep go on working.

    Raises:
        InputError: no such stage; lists the stages.
    """
    now = RENAMED.get(name, name)
    return now if name not in graph.order and now in graph.order else known_stage(graph, name)


def _known(what: str, name: str, known: Collection[str], prefix: str) -> str:
    if name in known:
        return name
    now = RENAMED.get(prefix + name, "").removeprefix(prefix)
    raise InputError(
        f"the {what} {name!r} is called {now!r} now" if now else unknown(what, name, known)
    )


def _fitting(graph: Graph, stage: str, name: str, given: Any, readings: Iterable[Any]) -> Any:
    """The first reading of what was given that the setting's annotation allows."""
    known = graph.stages[known_stage(graph, stage)].settings
    kind = known[_known(f"setting of {stage}", name, known, f"{stage}.")].annotation
    for value in readings:
        with suppress(InputError, OverflowError):
            fitting = normalise(value, kind, name)
            break
    else:
        if get_origin(kind) is Literal:
            raise InputError(unknown(f"value of {stage}.{name}", str(given), get_args(kind)))
        expected = inspect.formatannotation(kind).replace("|", "or")
        raise InputError(f"{stage}.{name} expects {expected}, got {given!r}")
    between = range_of(graph, stage, name)
    if between is not None and not between.holds(fitting):
        raise InputError(f"{stage}.{name} expects {between}, got {fitting}")
    return fitting


def range_of(graph: Graph, stage: str, name: str) -> Between | None:
    """What a setting's number may be, as its signature says, or None."""
    hint = get_type_hints(graph.stages[stage].function, include_extras=True)[name]
    return next((one for one in get_args(hint)[1:] if isinstance(one, Between)), None)


def _readings(raw: str) -> Iterator[Any]:
    """What a text may mean: a word, else TOML, else a number as Python writes it, else itself."""
    if raw.lower() in _WORDS:
        yield _WORDS[raw.lower()]
    with suppress(ValueError, RecursionError):
        (value,) = tomllib.loads(f"value = {raw}").values()
        yield value
    with suppress(ValueError):
        yield float(raw)
    yield raw
