"""Finding, fetching, locking and verifying checkpoints, with a hub made of folders."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from img2mesh.diffusion import checkpoints, fetching, store
from img2mesh.errors import Img2MeshError, InputError
from tests.models.tiny import make_checkpoint

PIPELINE_FILES = [
    "model_index.json",
    *(f"feature_extractor_{b}/preprocessor_config.json" for b in ("clip", "vae")),
    "scheduler/scheduler_config.json",
    *(f"tokenizer/{n}" for n in ("vocab.json", "merges.txt", "tokenizer_config.json")),
    *(f"{p}/config.json" for p in ("text_encoder", "vision_encoder", "unet", "vae")),
    *(f"{p}/model.safetensors" for p in ("text_encoder", "vision_encoder")),
    "unet/diffusion_pytorch_model.bin",
    "vae/diffusion_pytorch_model.safetensors",
]


class Hub:
    """Repositories with history; hands out files by commit and counts the calls."""

    def __init__(self) -> None:
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.downloads: list[tuple[str, str, str]] = []

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        history = self.commits.setdefault(repository, [])
        history.append(files)
        return self.sha(repository, len(history) - 1)

    @staticmethod
    def sha(repository: str, index: int) -> str:
        return hashlib.sha1(f"{repository}{index}".encode()).hexdigest()

    def files(self, repository: str, revision: str | None) -> tuple[str, dict[str, bytes]]:
        history = self.commits[repository]
        names = [self.sha(repository, i) for i in range(len(history))]
        index = len(history) - 1 if revision is None else names.index(revision)
        return names[index], history[index]

    def model_info(self, repository: str, *, revision: str | None, files_metadata: bool) -> Any:
        sha, files = self.files(repository, revision)
        siblings = [
            SimpleNamespace(
                rfilename=name,
                lfs=SimpleNamespace(sha256=hashlib.sha256(data).hexdigest())
                if name.endswith((".bin", ".safetensors"))
                else None,
            )
            for name, data in files.items()
        ]
        return SimpleNamespace(sha=sha, siblings=siblings)

    def download(self, repository: str, file: str, *, revision: str, local_dir: Path) -> str:
        self.downloads.append((repository, file, revision))
        path = Path(local_dir) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.files(repository, revision)[1][file])
        return str(path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    import huggingface_hub

    fake = Hub()
    for record in checkpoints.TABLE.values():
        if record.unet_file:
            files = {record.unet_file: b"white unet", "README.md": b"no"}
        elif record.kind == "controlnet":
            files = {"config.json": b"{}", "diffusion_pytorch_model.safetensors": b"net"}
        else:
            files = {n: f"{record.name} {n}".encode() for n in PIPELINE_FILES}
            files |= {"inference.py": b"never", "README.md": b"no"}
        fake.commit(record.repository, files)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.download)
    return fake


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the network was used")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, forbidden)


NAME = "zero123plus-v1.1"


def test_first_fetch_pins_the_newest_commit_and_says_so(hub: Hub, tmp_path: Path) -> None:
    said: list[str] = []
    done: list[float] = []
    home = fetching.fetch(NAME, root=tmp_path, say=said.append, progress=done.append)
    repository = checkpoints.TABLE[NAME].repository
    lock = store.read_locks(tmp_path)[NAME]
    assert lock.revision == hub.sha(repository, 0)
    assert any(lock.revision in s and "recording" in s for s in said)
    assert any("3.9 GB" in s and "licence" in s for s in said)
    assert {r for _, _, r in hub.downloads} == {lock.revision}
    assert sorted(lock.files) == sorted(PIPELINE_FILES)
    assert not list(home.rglob("*.py"))
    assert done[-1] == 1.0


def test_later_fetches_want_the_locked_commit(hub: Hub, tmp_path: Path) -> None:
    home = fetching.fetch(NAME, root=tmp_path)
    repository = checkpoints.TABLE[NAME].repository
    hub.commit(repository, dict.fromkeys(PIPELINE_FILES, b"newer"))
    shutil.rmtree(home)
    fetching.fetch(NAME, root=tmp_path)
    assert (home / "model_index.json").read_bytes() == f"{NAME} model_index.json".encode()
    assert {r for _, _, r in hub.downloads} == {hub.sha(repository, 0)}


def test_what_is_here_is_not_fetched_again(hub: Hub, tmp_path: Path, no_network: None) -> None:
    fetching.fetch(NAME, root=tmp_path)
    before = len(hub.downloads)
    fetching.fetch(NAME, root=tmp_path, offline=True)
    assert len(hub.downloads) == before


def test_only_damaged_checkpoints_are_fetched_again(hub: Hub, tmp_path: Path) -> None:
    home = fetching.fetch(NAME, root=tmp_path)
    (home / "unet/diffusion_pytorch_model.bin").write_bytes(b"broken")
    assert fetching.verify(NAME, root=tmp_path)[0].state == "damaged"
    fetching.fetch(NAME, root=tmp_path)
    assert fetching.verify(NAME, root=tmp_path)[0].state == "verified"


def test_other_bytes_than_locked_are_refused(hub: Hub, tmp_path: Path) -> None:
    home = fetching.fetch(NAME, root=tmp_path)
    shutil.rmtree(home)
    hub.commits[checkpoints.TABLE[NAME].repository][0]["model_index.json"] = b"forged"
    with pytest.raises(Img2MeshError, match="the lock file says"):
        fetching.fetch(NAME, root=tmp_path)


def test_other_bytes_than_the_hub_states_are_refused(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def damaged(*args: Any, **kwargs: Any) -> str:
        path = hub.download(*args, **kwargs)
        Path(path).write_bytes(Path(path).read_bytes()[:-1])
        return path

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", damaged)
    with pytest.raises(Img2MeshError, match="the hub says"):
        fetching.fetch(NAME, root=tmp_path)
    assert NAME not in store.read_locks(tmp_path)


def test_safetensors_are_preferred() -> None:
    both = [*PIPELINE_FILES, "unet/diffusion_pytorch_model.safetensors"]
    wanted = fetching.wanted_files(checkpoints.TABLE[NAME], both)
    assert "unet/diffusion_pytorch_model.safetensors" in wanted
    assert "unet/diffusion_pytorch_model.bin" not in wanted


def test_a_changed_layout_is_a_sentence() -> None:
    without = [f for f in PIPELINE_FILES if not f.startswith("unet/diff")]
    with pytest.raises(Img2MeshError, match="layout has changed"):
        fetching.wanted_files(checkpoints.TABLE[NAME], without)


def test_a_broken_download_is_a_sentence(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def broken(*args: Any, **kwargs: Any) -> str:
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(Img2MeshError, match=r"reset by peer.*again to resume"):
        fetching.fetch(NAME, root=tmp_path)


def test_offline_never_touches_the_network(tmp_path: Path, no_network: None) -> None:
    with pytest.raises(InputError, match="--offline"):
        fetching.fetch(NAME, root=tmp_path, offline=True)


def test_finding_never_touches_the_network(
    tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMG2MESH_MODELS", str(tmp_path))
    with pytest.raises(InputError) as error:
        checkpoints.locate(NAME)
    message = str(error.value)
    assert f"img2mesh models fetch {NAME}" in message
    assert "3.9 GB" in message and "CC-BY-NC-4.0" in message and "\n" not in message


@pytest.mark.parametrize(
    "name", sorted(n for n, record in checkpoints.TABLE.items() if record.kind != "pictures")
)
def test_commercial_only_refuses_every_published_generator(name: str, tmp_path: Path) -> None:
    """All of them are non-commercial, or stand on weights that are."""
    with pytest.raises(InputError, match="does not allow commercial use"):
        fetching.fetch(name, root=tmp_path, commercial_only=True)


def test_commercial_only_goes_by_recognition_for_folders(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "mine", controlnets=())
    checkpoints.require_commercial(checkpoints.locate(folder).record)
    (folder / checkpoints.NOTE_NAME).unlink()
    with pytest.raises(InputError, match=r"licensed unknown.*img2mesh\.json"):
        checkpoints.require_commercial(checkpoints.locate(folder).record)
    index = json.loads((folder / "model_index.json").read_text())
    index["ramping_coefficients"][:4] = [0.00301829, 0.22046332, 0.21527842, 0.23498540]
    (folder / "model_index.json").write_text(json.dumps(index))
    record = checkpoints.locate(folder).record
    assert record.rig == "zero123plus-v1.2" and record.licence == "CC-BY-NC-4.0"


def test_commercial_only_looks_at_controlnets(tmp_path: Path) -> None:
    """A checkpoint that may be used, with a ControlNet that may not."""
    from img2mesh.jobs.request import request_from

    mine = str(make_checkpoint(tmp_path / "mine", controlnets=("controlnet",)))
    chosen = {"views.generator": mine, "refined.generator": mine}
    request_from(overrides=chosen, commercial_only=True)
    theirs = {**chosen, "refined.controlnet": "zero123plus-v1.1-depth"}
    with pytest.raises(InputError, match=r"v1\.1-depth is licensed CC-BY-NC"):
        request_from(overrides=theirs, commercial_only=True)
    # A fine-tune of v1.1 without a ControlNet of its own takes the published one.
    shutil.rmtree(Path(mine) / "controlnet")
    index = json.loads((Path(mine) / "model_index.json").read_text())
    index["ramping_coefficients"][:4] = [0.0, 0.20600578, 0.18684480, 0.24342191]
    (Path(mine) / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"v1\.1-depth is licensed CC-BY-NC"):
        request_from(overrides=chosen, commercial_only=True)


def test_white_unet_completes_its_base(hub: Hub, tmp_path: Path) -> None:
    fetching.fetch("zero123plus-v1.2-white", root=tmp_path)
    found = checkpoints.locate("zero123plus-v1.2-white", root=tmp_path)
    assert found.folder == tmp_path / "zero123plus-v1.2"
    assert found.unet_file is not None and found.unet_file.read_bytes() == b"white unet"
    assert found.record.background == "white"


def test_only_the_controlnet_in_use_counts_for_the_cache(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from img2mesh.multiview.zero123plus import choices

    monkeypatch.setenv("IMG2MESH_MODELS", str(tmp_path))
    fetching.fetch(NAME)
    first = choices.identity(NAME, normals=False)
    second = choices.identity(NAME, strength=0.75)
    assert second == {**first, "depth": "absent"}
    fetching.fetch("zero123plus-v1.1-depth")
    assert choices.identity(NAME, normals=False) == first
    assert choices.identity(NAME, strength=0.75)["depth"] not in ("absent", "")


def test_repository_names_are_understood(hub: Hub, tmp_path: Path) -> None:
    fetching.fetch("sudo-ai/zero123plus-v1.2", root=tmp_path)
    assert checkpoints.locate("zero123plus-v1.2", root=tmp_path).revision


def test_list_and_verify(hub: Hub, tmp_path: Path) -> None:
    assert {s.state for s in fetching.statuses(tmp_path)} == {"absent"}
    assert fetching.verify(root=tmp_path) == []
    home = fetching.fetch(NAME, root=tmp_path)
    states = {s.record.name: s.state for s in fetching.statuses(tmp_path)}
    assert states.pop(NAME) == "present" and set(states.values()) == {"absent"}
    (home / "tokenizer/vocab.json").write_bytes(b"x" * 7)
    (home / "vae/config.json").unlink()
    status = fetching.verify(NAME, root=tmp_path)[0]
    assert status.state == "damaged" and len(status.problems) == 2
    with pytest.raises(InputError, match="models list"):
        fetching.verify("zero123plus-v1.2", root=tmp_path)


def test_unreadable_lock_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / store.LOCK_NAME).write_text("[]")
    with pytest.raises(Img2MeshError, match="not a lock file"):
        store.read_locks(tmp_path)


def _change(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (lambda f: _change(f / "tokenizer/merges.txt", 3), True),
        (lambda f: _change(f / "unet/diffusion_pytorch_model.safetensors", -1), True),
        (lambda f: (f / "inference.py").write_text("new"), False),
        (lambda f: (f / "model_index.json").touch(), False),
    ],
)
def test_identity_of_a_folder(change: Callable[[Path], Any], matters: bool, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "a", controlnets=())
    before = checkpoints.identity(folder)
    moved = tmp_path / "elsewhere" / "b"
    shutil.copytree(folder, moved)
    assert checkpoints.identity(moved) == before
    change(moved)
    assert (checkpoints.identity(moved) != before) == matters


def test_large_files_are_sampled(tmp_path: Path) -> None:
    big = tmp_path / "w.safetensors"
    big.write_bytes(bytes(6 << 20))
    before = store.fingerprint(tmp_path)
    _change(big, -1)
    assert store.fingerprint(tmp_path) != before
    big.write_bytes(bytes((6 << 20) + 1))
    assert store.fingerprint(tmp_path) != before


def test_unknown_note_entries_are_named(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "a", controlnets=())
    (folder / checkpoints.NOTE_NAME).write_text('{"fov": 30}')
    with pytest.raises(InputError, match="'fov'"):
        checkpoints.locate(folder)


def test_of_a_stock_pipeline_half_the_weights_and_all_small_files_are_fetched() -> None:
    wanted = [
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json",
        "tokenizer/merges.txt", "text_encoder/config.json", "text_encoder/model.fp16.safetensors",
        "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors", "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]  # fmt: skip
    others = [
        "README.md", "sd_xl_base_1.0.safetensors", "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/pytorch_model.bin", "text_encoder/flax_model.msgpack", "unet/model.onnx",
        "text_encoder/model.safetensors", "scheduler/code.py", "vae_1_0/notes/config.json",
    ]  # fmt: skip
    found = fetching.wanted_files(checkpoints.TABLE["sdxl"], [*wanted, *others])
    assert found == sorted(wanted)
    with pytest.raises(Img2MeshError, match=r"none of unet/diffusion_pytorch_model\.fp16"):
        kept = [file for file in wanted if not file.startswith("unet/diff")]
        fetching.wanted_files(checkpoints.TABLE["sdxl"], kept)


def test_table_is_consistent() -> None:
    for record in checkpoints.TABLE.values():
        assert record.licence and record.megabytes > 0 and "/" in record.repository
        for _, net in record.controlnets:
            assert checkpoints.TABLE[net].kind == "controlnet"
            assert checkpoints.TABLE[net].rig == record.rig
        if record.base is not None:
            assert checkpoints.TABLE[record.base].rig == record.rig
