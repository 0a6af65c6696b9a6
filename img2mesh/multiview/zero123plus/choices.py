"""Which ControlNet goes with which checkpoint, and what an impossible wish is told. No torch."""

from __future__ import annotations

from pathlib import Path

from img2mesh.diffusion import adapters, checkpoints
from img2mesh.errors import InputError

#: Sub-folders of a private checkpoint that bring a capability.
_SUBFOLDERS = {"depth": ("controlnet", "controlnet_depth"), "normals": ("controlnet_normals",)}


def capabilities(checkpoint: str, controlnet: str | None = None) -> frozenset[str]:
    """``depth`` (be refined), ``normals``: what the checkpoint can do with its ControlNets.

    Says what it can do by its record, whether or not the ControlNet was fetched yet.

    Raises:
        InputError: no such checkpoint.
    """
    record = checkpoints.record_of(checkpoint)
    found = {capability for capability, _ in record.controlnets}
    found |= {c for c in _SUBFOLDERS if _inside(c, checkpoint) is not None}
    if controlnet is not None:
        found.add("depth")
    return frozenset(found)


def draws_apart(checkpoint: str) -> bool:
    """Whether a checkpoint is of the Zero-1-to-3 kind: a view at a time, at any camera.

    Raises:
        InputError: no such checkpoint.
    """
    return checkpoints.record_of(checkpoint).family == "zero123"


def require_views(checkpoint: str) -> None:
    """Refuse a model that draws pictures from text where views are wanted.

    Raises:
        InputError: says what it is for.
    """
    if checkpoints.record_of(checkpoint).kind == "pictures":
        raise InputError(
            f"{checkpoint} draws pictures from text and no views of an object: it goes with "
            "--text-model, --refiner or --texture-refiner, not with --generator"
        )


def require_no_control(
    checkpoint: str, *, depth: str | None = None, normals: str | None = None
) -> None:
    """Refuse control by depth or normals, of which Zero-1-to-3 has none.

    Raises:
        InputError: it was asked for; says which checkpoint can.
    """
    asked = {"depth": depth, "normals": normals}
    for capability, wish in asked.items():
        if wish is not None and draws_apart(checkpoint):
            able = [c.name for c in checkpoints.TABLE.values() if c.controlnet(capability)]
            raise InputError(
                f"{checkpoint} has no {capability} control, and {wish!r} was asked for: leave it "
                f"out, or choose --generator {' or '.join(able)}"
            )


def find_controlnet(capability: str, checkpoint: str, controlnet: str | None = None) -> Path:
    """The folder of the ControlNet that brings a capability to a checkpoint.

    Raises:
        InputError: the checkpoint has none (says which has), or it is not on this machine.
    """
    if controlnet is not None:
        _demand_rig(checkpoint, controlnet)
        return checkpoints.locate(controlnet).folder
    inside = _inside(capability, checkpoint)
    if inside is not None:
        return inside
    name = checkpoints.record_of(checkpoint).controlnet(capability)
    if name is None:
        able = [c.name for c in checkpoints.TABLE.values() if c.controlnet(capability)]
        raise InputError(
            f"{checkpoint} has no {capability} ControlNet; {' and '.join(able)} has one, or put "
            f"one into the folder as {_SUBFOLDERS[capability][0]}/"
        )
    return checkpoints.locate(name).folder


def origins(
    record: checkpoints.Checkpoint, lora: str | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Licences of a checkpoint and its adapter, and what a user should know of both."""
    notes = (record.note,) if record.note else ()
    if lora is None:
        return (record.licence,), notes
    adapter = adapters.describe(lora)
    said = f"with the adapter {Path(lora).name}" + (f": {adapter.note}" if adapter.note else "")
    return (record.licence, f"adapter: {adapter.licence}"), (*notes, said)


def require_commercial(
    checkpoint: str, controlnet: str | None, *, normals: bool, lora: str | None = None
) -> None:
    """Refuse weights that may not be used commercially: the checkpoint's and its additions'.

    Args:
        checkpoint, controlnet: as the user named them; the ControlNet is for depth.
        lora: file of an adapter.
        normals: whether normal maps are drawn too.

    Raises:
        InputError: says which, and its licence.
    """
    record = checkpoints.record_of(checkpoint)
    checkpoints.require_commercial(record)
    if lora is not None and not (adapter := adapters.describe(lora)).commercial:
        raise InputError(
            f"--commercial-only: the adapter {lora} does not say that it may be used commercially "
            f"(licence: {adapter.licence})"
        )
    nets = {"depth": controlnet or record.controlnet("depth")}
    if normals:
        nets["normals"] = record.controlnet("normals")
    for capability, net in nets.items():
        own = capability == "depth" and controlnet is not None
        if net is None or (not own and _inside(capability, checkpoint) is not None):
            continue  # what lies inside the folder has the folder's licence
        known = None if Path(net).is_dir() else checkpoints.find(net)
        checkpoints.require_commercial(known or checkpoints.locate(net).record)


def identity(checkpoint: str, controlnet: str | None = None, **settings: object) -> dict[str, str]:
    """Revision or content hash, by role, of every weight file that plays a part: for cache keys.

    A ControlNet that is not there yet counts as ``absent``: fetched later, it changes the result.

    Args:
        checkpoint, controlnet: as the user named them; the ControlNet is for depth.
        settings: the stage's other settings. ``strength`` marks a second pass, ``normals`` a
            first one, so that each depends on its own ControlNet alone; without either, both count.

    Raises:
        InputError: the checkpoint, or a ControlNet named by the user, is not on this machine.
    """
    capabilities = {"depth", "normals"}
    if "strength" in settings:
        capabilities = {"depth"}
    elif "normals" in settings:
        capabilities = {"normals"} if settings["normals"] else set()
    known = {"checkpoint": checkpoints.identity(checkpoint)}
    if (lora := settings.get("lora")) is not None:
        known["adapter"] = adapters.identity(str(lora))
    if controlnet is not None and "depth" in capabilities:
        known["depth"] = checkpoints.identity(controlnet)
    if Path(checkpoint).is_dir():  # its hash covers the ControlNets inside
        return known
    for capability in sorted(capabilities - known.keys()):
        name = checkpoints.record_of(checkpoint).controlnet(capability)
        if name is None:
            continue
        try:
            known[capability] = checkpoints.identity(name)
        except InputError:
            known[capability] = "absent"
    return known


def _demand_rig(checkpoint: str, controlnet: str) -> None:
    """A published ControlNet fits only the cameras it was trained for."""
    net = None if Path(controlnet).is_dir() else checkpoints.find(controlnet)
    rig = checkpoints.record_of(checkpoint).rig
    if net is not None and net.rig != rig:
        raise InputError(
            f"{net.name} was trained for the cameras of {net.rig}, {checkpoint} draws {rig}; "
            f"choose {net.rig}"
        )
    if net is not None and net.kind != "controlnet":
        raise InputError(f"{net.name} is a whole model, not a ControlNet")


def _inside(capability: str, checkpoint: str) -> Path | None:
    """The ControlNet that a private checkpoint brings along."""
    folder = Path(checkpoint)
    return _first(folder, _SUBFOLDERS[capability]) if folder.is_dir() else None


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / n for n in names if (folder / n / "config.json").is_file()), None)
