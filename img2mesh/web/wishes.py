"""What people may wish for a version, checked: JSON to a request, and what there is to choose.

A wish holds ``preset``, ``settings`` (``stage.setting`` → value, spelled as ``--set`` has it),
``formats`` and ``until``, and of the cutout ``box``, ``whole`` or ``mask``. The server's own flags
lie below it. No wish can name a file of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args, get_origin

from img2mesh import multiview, settings
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph.stage import unknown
from img2mesh.jobs.request import (
    MESH_FORMATS,
    OutputOptions,
    Request,
    generator_of,
    output_options,
)
from img2mesh.pipeline import PIPELINE
from img2mesh.worker import task

#: What a wish may hold; ``mask`` and ``accept`` come by another way.
KEYS = ("preset", "settings", "formats", "until", "box", "whole")
#: Settings whose value is a file's name.
_FILES = frozenset({
    "cutout.model", "views.lora", "refined.lora", "refined.controlnet", "refined.refiner",
    "asset.refiner",
})  # fmt: skip
#: Chosen for one stage, these mean the others too, as with the flags of the same name.
_TOGETHER = {
    "views.generator": ("refined.generator",),
    "views.seed": ("refined.seed", "radiance.seed"),
}


class Wishes:
    """What may be wished of a server that was started with a request."""

    def __init__(self, base: Request) -> None:
        self._base = base
        preset = settings.load_preset(base.preset)
        self._own = {
            stage: {k: v for k, v in table.items() if preset.get(stage, {}).get(k) != v}
            for stage, table in base.settings.items()
        }
        self.generators = self._generators()

    def checked(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """The wish with nothing in it that cannot be had.

        Raises:
            InputError: says what cannot.
        """
        if extra := [key for key in wish if key not in KEYS]:
            raise InputError(unknown("wish", str(extra[0]), KEYS))
        kept = {key: value for key, value in wish.items() if value not in (None, {}, [], "")}
        for key, kind, said in (
            ("preset", str, "a name"), ("settings", dict, "an object"), ("formats", list, "a list"),
            ("until", str, "a stage"), ("box", list, "a list of four numbers"),
            ("whole", bool, "true or false"),
        ):  # fmt: skip
            if key in kept and not isinstance(kept[key], kind):
                raise InputError(f"{key} must be {said}, got {str(kept[key])[:80]!r}")
        if "box" in kept and not (
            len(kept["box"]) == 4 and all(isinstance(x, int | float) for x in kept["box"])
        ):
            raise InputError("box must be x, y, width and height in pixels of the photo")
        self.request(kept)
        self.options(kept)
        return kept

    def request(self, wish: Mapping[str, Any]) -> Request:
        """The request of a wish.

        Raises:
            InputError: a preset, stage, setting or value there is not.
        """
        preset = wish.get("preset") or self._base.preset
        asked: settings.Settings = {}
        for target, value in (wish.get("settings") or {}).items():
            self._require_allowed(target, value)
            for name in (*_TOGETHER.get(target, ()), target):
                stage, dot, setting = name.partition(".")
                if not dot:
                    raise InputError(f"settings are called stage.setting, got {target!r}")
                asked.setdefault(stage, {})[setting] = value
        cut = asked.setdefault("cutout", {})
        if wish.get("box"):
            cut["box"] = [round(x) for x in wish["box"]]
        if wish.get("whole"):
            cut["remove_background"] = False
        resolved = settings.resolve(PIPELINE, settings.load_preset(preset), self._own, asked)
        until = wish.get("until") or self._base.until
        return replace(self._base, settings=resolved, preset=preset, until=until)

    def options(self, wish: Mapping[str, Any]) -> OutputOptions:
        """The files of a wish.

        Raises:
            InputError: a format there is not.
        """
        formats = [str(name) for name in wish.get("formats") or ()]
        return output_options(
            ",".join(formats), False, preset=wish.get("preset") or self._base.preset
        )

    def task(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """The wish as a worker gets it."""
        return task.encode(self.request(wish), self.options(wish))

    def about(self) -> dict[str, Any]:
        """What there is to choose, for the page and for programs."""
        return {
            "preset": self._base.preset,
            "presets": settings.preset_names(),
            "generator": generator_of(self._base.settings),
            "generators": self.generators,
            "formats": list(MESH_FORMATS),
            "stages": [*PIPELINE.order, "files"],
            "settings": _described(),
            "values": {
                f"{stage}.{name}": value
                for stage in PIPELINE.order
                for name, value in PIPELINE.stages[stage]
                .resolve(self._base.settings.get(stage, {}))
                .items()
                if f"{stage}.{name}" not in _FILES
            },
            "preset_values": {
                preset: {
                    f"{stage}.{name}": value
                    for stage, table in settings.load_preset(preset).items()
                    for name, value in table.items()
                }
                for preset in settings.preset_names()
            },
        }

    def _require_allowed(self, target: str, value: object) -> None:
        if target in _FILES:
            raise InputError(f"{target} names a file of this machine: only img2mesh serve takes it")
        if target.endswith(".generator"):
            names = [one["name"] for one in self.generators]
            if value not in names:
                raise InputError(unknown("generator", str(value), names))

    def _generators(self) -> list[dict[str, Any]]:
        """Those whose weights are here."""
        from img2mesh.diffusion import checkpoints

        found = []
        for name in dict.fromkeys(
            [generator_of(self._base.settings), "learned", "geometric", *checkpoints.TABLE]
        ):
            if multiview.embedded(name):
                told = multiview.licences(name)
            else:
                try:
                    record = checkpoints.locate(name).record
                except Img2MeshError:
                    continue
                if record.kind != "pipeline":
                    continue
                told = (record.licence,)
            found.append({"name": name, "learned": name != "geometric", "licences": list(told)})
        return found


def _described() -> list[dict[str, Any]]:
    """Every setting: its default, and what values it takes."""
    described = []
    for stage in (PIPELINE.stages[name] for name in PIPELINE.order):
        for name, setting in stage.settings.items():
            if f"{stage.name}.{name}" in _FILES:
                continue
            between = settings.range_of(PIPELINE, stage.name, name)
            choices = get_args(setting.annotation)
            literal = get_origin(setting.annotation) is not None and all(
                isinstance(one, str) for one in choices
            )
            described.append(
                {
                    "name": f"{stage.name}.{name}",
                    "default": setting.default,
                    "range": str(between) if between else None,
                    "choices": list(choices) if choices and literal else None,
                }
            )
    return described
