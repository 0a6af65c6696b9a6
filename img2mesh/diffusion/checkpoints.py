"""The table of published checkpoints, and finding them on this machine. No torch, no network.

Sizes and licences are those of the model pages. Where no revision could be looked up, it is pinned
by the lock file at the first fetch (:mod:`.fetching`), which says so, and holds ever after.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from img2mesh.diffusion.store import fingerprint, models_folder, read_locks
from img2mesh.errors import InputError

Kind = Literal["pipeline", "controlnet", "pictures"]
#: Which program samples a checkpoint.
Family = Literal["zero123plus", "zero123", "diffusers"]
#: What the fourth number of a Zero-1-to-3 camera vector is.
Fourth = Literal["radius", "cond_polar"]
#: A file beside ``model_index.json`` in which a private checkpoint says what it is.
NOTE_NAME = "img2mesh.json"


@dataclass(frozen=True)
class Checkpoint:
    """One row of the table.

    Attributes:
        name: what users write.
        kind: ``pipeline`` (a whole model that draws views), ``controlnet``, or ``pictures`` (one
            that draws pictures from text, and draws given ones again).
        repository: on the Hugging Face hub; empty for a private folder.
        revision: commit to fetch; None until a maintainer pins it here (then the lock decides).
        megabytes: size of the files that are fetched.
        licence: of the weights.
        commercial: whether the licence allows commercial use of the weights.
        rig: name of the camera rig it draws.
        tile: pixels of one view.
        background: colour behind the generated views, ``grey`` or ``white``.
        controlnets: capability (``depth``, ``normals``) -> name of the ControlNet that brings it.
        family: the program that samples it.
        camera: fourth component of a ``zero123`` checkpoint's camera vector: ``radius`` (change of
            the distance) or ``cond_polar`` (polar angle of the input view).
        base: the checkpoint whose folder this one completes with other U-Net weights.
        unet_file: those weights, in ``repository``.
        note: what a user should know.
    """

    name: str
    kind: Kind
    repository: str
    megabytes: int
    licence: str
    commercial: bool
    rig: str = ""
    tile: int = 320
    background: Literal["grey", "white"] = "grey"
    controlnets: tuple[tuple[str, str], ...] = ()
    family: Family = "zero123plus"
    camera: Fourth = "radius"
    base: str | None = None
    unet_file: str | None = None
    revision: str | None = None
    note: str = ""

    def controlnet(self, capability: str) -> str | None:
        """Name of the ControlNet that brings a capability, or None."""
        return dict(self.controlnets).get(capability)


_PICTURES = (
    Checkpoint("sdxl", "pictures", "stabilityai/stable-diffusion-xl-base-1.0", 6940,
               "CreativeML Open RAIL++-M", True, tile=1024, family="diffusers",
               revision="462165984030d82259a11f4367a4eed129e94a7b",
               note="pictures from text; the licence forbids some uses (its attachment A)"),
    Checkpoint("sdxl-refiner", "pictures", "stabilityai/stable-diffusion-xl-refiner-1.0", 6080,
               "CreativeML Open RAIL++-M", True, tile=1024, family="diffusers",
               revision="5d4cfe854c9a9a87939ff3653551c2b3c99a4356",
               note="for pictures that are there, not for text alone; forbids some uses"),
    Checkpoint("sd-1.5", "pictures", "stable-diffusion-v1-5/stable-diffusion-v1-5", 2740,
               "CreativeML Open RAIL-M", True, tile=512, family="diffusers",
               revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
               note="small; the licence forbids some uses"),
)  # fmt: skip
TABLE: dict[str, Checkpoint] = {
    c.name: c
    for c in (
        Checkpoint(
            name="zero123plus-v1.1",
            kind="pipeline",
            repository="sudo-ai/zero123plus-v1.1",
            megabytes=3850,
            licence="openrail (model page); CC-BY-NC-4.0 (project page)",
            commercial=False,
            rig="zero123plus-v1.1",
            controlnets=(("depth", "zero123plus-v1.1-depth"),),
            note="the two pages disagree; the stricter licence is assumed",
        ),
        Checkpoint(
            name="zero123plus-v1.2",
            kind="pipeline",
            repository="sudo-ai/zero123plus-v1.2",
            megabytes=5580,
            licence="CC-BY-NC-4.0",
            commercial=False,
            rig="zero123plus-v1.2",
            controlnets=(("normals", "zero123plus-v1.2-normals"),),
        ),
        Checkpoint(
            name="zero123plus-v1.2-white",
            kind="pipeline",
            repository="TencentARC/InstantMesh",
            megabytes=3460,
            licence="derived from CC-BY-NC-4.0 weights",
            commercial=False,
            rig="zero123plus-v1.2",
            background="white",
            base="zero123plus-v1.2",
            unet_file="diffusion_pytorch_model.bin",
            note="InstantMesh's U-Net on a white background; completes zero123plus-v1.2",
        ),
        Checkpoint(
            name="zero123plus-v1.1-depth",
            kind="controlnet",
            repository="sudo-ai/controlnet-zp11-depth-v1",
            megabytes=1460,
            licence="CC-BY-NC-4.0 (project page)",
            commercial=False,
            rig="zero123plus-v1.1",
            note="size assumed equal to the normal ControlNet's",
        ),
        Checkpoint(
            name="zero123plus-v1.2-normals",
            kind="controlnet",
            repository="sudo-ai/controlnet-zp12-normal-gen-v1",
            megabytes=1460,
            licence="CC-BY-NC-4.0",
            commercial=False,
            rig="zero123plus-v1.2",
        ),
        Checkpoint(
            name="zero123",
            kind="pipeline",
            repository="kxic/zero123-165000",
            megabytes=5000,
            licence="code MIT; none stated for the weights",
            commercial=False,
            tile=256,
            background="white",
            rig="zero123plus-v1.1",
            family="zero123",
            note="size counted from the parameters",
        ),
        Checkpoint(
            name="zero123-xl",
            kind="pipeline",
            repository="kxic/zero123-xl",
            megabytes=5000,
            licence="code MIT; asked for the weights in public, and not answered",
            commercial=False,
            tile=256,
            background="white",
            rig="zero123plus-v1.1",
            family="zero123",
            note="trained on Objaverse-XL; size counted from the parameters",
        ),
        Checkpoint(
            name="stable-zero123",
            kind="pipeline",
            repository="kxic/stable-zero123",
            megabytes=5000,
            licence="Stability AI non-commercial research community licence",
            commercial=False,
            tile=256,
            background="white",
            rig="zero123plus-v1.1",
            family="zero123",
            camera="cond_polar",
            note="knows the input's elevation instead of a change of distance",
        ),
        *_PICTURES,
    )
}

#: The first ramping coefficients tell official checkpoints, their mirrors and fine-tunes apart
#: (values of the model_index.json files).
_RAMPING = {
    "zero123plus-v1.1": (0.0, 0.20600578, 0.18684480, 0.24342191),
    "zero123plus-v1.2": (0.00301829, 0.22046332, 0.21527842, 0.23498540),
}


@dataclass(frozen=True)
class Located:
    """A checkpoint on this machine.

    Attributes:
        record: what it is and can do.
        folder: the official layout (of ``base`` where the record has one).
        unet_file: U-Net weights to use instead of the folder's, or None.
        revision: commit from the lock file; None for a private folder.
    """

    record: Checkpoint
    folder: Path
    unet_file: Path | None = None
    revision: str | None = None

    def identity(self) -> str:
        """What tells its weights from others': locked revision, or content hash."""
        return self.revision or fingerprint(self.folder)


def find(name: str) -> Checkpoint | None:
    """The row of a name or of a repository, or None."""
    if name in TABLE:
        return TABLE[name]
    return next((c for c in TABLE.values() if c.repository == name), None)


def locate(folder_or_name: str | Path, *, root: Path | None = None) -> Located:
    """Find a checkpoint by folder or name. Touches neither network nor weights.

    Raises:
        InputError: unknown, or not fetched yet (says how to, the size and the licence).
    """
    name = str(folder_or_name)
    record = None if Path(name).is_dir() else find(name)
    if record is None:
        folder = Path(name).expanduser()
        if not folder.is_dir() and not (folder.suffix == ".ckpt" and folder.is_file()):
            raise InputError(
                f"{name!r} is neither a folder nor a known checkpoint; known: {', '.join(TABLE)}"
            )
        return Located(describe(folder), folder)
    return _fetched(record, root or models_folder())


def _fetched(record: Checkpoint, root: Path) -> Located:
    lock = read_locks(root).get(record.name)
    home = root / record.name
    if lock is None or not all((home / p).is_file() for p in lock.files):
        where = f", or copy it by hand and give its folder ({record.repository})"
        raise InputError(
            f"the weights of {record.name} are not on this machine: run `img2mesh models fetch "
            f"{record.name}` ({record.megabytes / 1000:.1f} GB, licence {record.licence}){where}"
        )
    if record.base is None:
        return Located(record, home, revision=lock.revision)
    assert record.unet_file is not None
    base = _fetched(TABLE[record.base], root)
    revision = f"{base.revision}+{lock.revision}"
    return Located(record, base.folder, home / record.unet_file, revision)


def describe(folder: Path) -> Checkpoint:
    """What a private folder is: by its note file, else by its ramping coefficients.

    Mirrors and fine-tunes keep the official coefficients. A folder that tells nothing counts as
    v1.1, the rig this program draws by default, with a licence nobody knows.

    Raises:
        InputError: the note names something that does not exist.
    """
    if is_zero123(folder):
        return _noted(folder, replace(TABLE["zero123"], name=folder.stem, **_PRIVATE))
    index = folder / "model_index.json"
    kind: Kind = "pipeline" if index.is_file() else "controlnet"
    if kind == "pipeline" and draws_pictures(_json(index)):
        record = Checkpoint(folder.name, "pictures", "", 0, "unknown", False, family="diffusers")
        return _noted(folder, record)
    unknown = Checkpoint(
        name=folder.name,
        kind=kind,
        repository="",
        megabytes=0,
        licence="unknown",
        commercial=False,
        rig="zero123plus-v1.1",
        note="not recognised: taken for a model with the cameras of zero123plus-v1.1",
    )
    record = unknown
    if kind == "pipeline":
        ramping = _json(index).get("ramping_coefficients")
        for name, first in _RAMPING.items():
            if _close(ramping, first):
                record = replace(TABLE[name], name=folder.name, note=f"recognised as {name}")
    return _noted(folder, record)


def draws_pictures(index: dict[str, Any]) -> bool:
    """Whether a ``model_index.json`` is of a stock pipeline of diffusers, by the class it names."""
    name = index.get("_class_name")
    ours = isinstance(name, str) and ("Zero123" in name or "Zero1to3" in name)
    return isinstance(name, str) and not ours and "ramping_coefficients" not in index


#: What a private Zero-1-to-3 checkpoint says nothing about.
_PRIVATE: dict[str, Any] = {
    "repository": "",
    "megabytes": 0,
    "licence": "unknown",
    "note": "taken for a model that knows the change of the distance (camera: radius)",
}


def is_zero123(place: Path) -> bool:
    """Whether a folder or file is of the Zero-1-to-3 kind: by its projection, or as a ``.ckpt``."""
    names = ("cc_projection", "clip_camera_projection")
    return place.suffix == ".ckpt" or any((place / name).is_dir() for name in names)


def family_of(folder_or_name: str) -> Family:
    """Which program samples a checkpoint, fetched or not.

    Raises:
        InputError: no such checkpoint.
    """
    return record_of(folder_or_name).family


def record_of(folder_or_name: str) -> Checkpoint:
    """What a checkpoint is, fetched or not.

    Raises:
        InputError: no such checkpoint.
    """
    record = None if Path(folder_or_name).is_dir() else find(folder_or_name)
    return record or locate(folder_or_name).record


def _noted(folder: Path, record: Checkpoint) -> Checkpoint:
    """The record with what the note beside the checkpoint says.

    Raises:
        InputError: the note has entries there are none of.
    """
    if folder.is_file():
        folder = folder.parent
    note = _json(folder / NOTE_NAME) if (folder / NOTE_NAME).is_file() else {}
    allowed = {"rig", "tile", "background", "camera", "licence", "commercial", "note"}
    if note.keys() - allowed:
        raise InputError(
            f"{folder / NOTE_NAME} has unknown entries {sorted(note.keys() - allowed)}; "
            f"allowed are {', '.join(sorted(allowed))}"
        )
    if note and "note" not in note:
        note["note"] = ""
    return replace(record, **note)


def _close(values: Any, first: tuple[float, ...]) -> bool:
    if not isinstance(values, list) or len(values) < len(first):
        return False
    return all(
        isinstance(v, (int, float)) and abs(v - f) < 1e-6
        for v, f in zip(values, first, strict=False)
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); fetch it again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object")
    return value


def require_commercial(record: Checkpoint) -> None:
    """Refuse weights that may not be used commercially.

    Raises:
        InputError: says the licence.
    """
    if not record.commercial:
        own = f"; if you may, say so in {NOTE_NAME}" if not record.repository else ""
        raise InputError(
            f"{record.name} is licensed {record.licence}, which does not allow commercial use: "
            f"drop --commercial-only or choose --generator geometric{own}"
        )


def identity(folder_or_name: str | Path, *, root: Path | None = None) -> str:
    """:meth:`Located.identity` of a checkpoint by folder or name.

    Raises:
        InputError: see :func:`locate`.
    """
    return locate(folder_or_name, root=root).identity()
