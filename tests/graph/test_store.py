"""Store: whole or not at all. Damage, strangers, tidying up, and file systems that refuse."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from img2mesh.errors import CacheError, InputError
from img2mesh.graph import Store
from img2mesh.graph.manifest import Unusable, read_entry
from img2mesh.graph.store import locked
from tests.graph import toy

ALL = ["doubled", "spelled", "signed"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which the toy graph has run once."""
    store = Store(tmp_path / "cache")
    toy.run(store)
    return store


def snapshot(store: Store) -> dict[str, bytes]:
    """Every byte of every entry."""
    return {
        str(path.relative_to(store.root)): path.read_bytes()
        for item in store.entries()
        for path in item.folder.rglob("*")
        if path.is_file()
    }


def quarantined(store: Store) -> list[Path]:
    return [item.folder for item in store.items() if item.stage == "quarantine"]


def test_a_flipped_byte_in_any_file_is_found_set_aside_and_made_anew(store: Store) -> None:
    files = [path for item in store.entries() for path in item.folder.rglob("*") if path.is_file()]
    assert len(files) == 3 + 1 + 5 + 6  # manifests, a number, words
    before = {name: data for name, data in snapshot(store).items() if "manifest" not in name}
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        data[(number * 131) % len(data)] ^= 1 << number % 8
        path.write_bytes(data)
        stage = path.relative_to(store.root).parts[0]
        assert toy.reasons(store)[stage] == "damaged"
        assert toy.run(store) == [stage], path  # what hangs on it is kept: the result is the same
        (aside,) = quarantined(store)
        assert bytes(data) in [one.read_bytes() for one in aside.rglob("*") if one.is_file()]
        shutil.rmtree(aside)
    assert {n: d for n, d in snapshot(store).items() if "manifest" not in n} == before
    assert toy.run(store) == []


def test_every_bit_of_a_manifest_counts(store: Store) -> None:
    path = toy.folder_of(store, "doubled") / "manifest.json"
    whole = path.read_bytes()
    for index in range(0, len(whole), 5):
        data = bytearray(whole)
        data[index] ^= 1 << index % 8
        path.write_bytes(data)
        found = read_entry(path.parent, whole=False)
        assert isinstance(found, Unusable), f"byte {index} of the manifest does not count"


def drop_key(data: bytes) -> bytes:
    fields = json.loads(data)
    del fields["files"]
    return json.dumps(fields).encode()


def from_tomorrow(data: bytes) -> bytes:
    return data.replace(b'"schema": 1', b'"schema": 2')


@pytest.mark.parametrize(
    ("stranger", "kind"),
    [
        (lambda data: b"", "damaged"),
        (lambda data: b"\x00\xff\xfe garbage", "damaged"),
        (lambda data: b"[" * 100_000, "damaged"),
        (lambda data: b"[]", "damaged"),
        (lambda data: b"17", "damaged"),
        (lambda data: b"null", "damaged"),
        (lambda data: b"{}", "damaged"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data + b"\n", "damaged"),
        (lambda data: json.dumps(json.loads(data)).encode(), "damaged"),
        (drop_key, "damaged"),
        (from_tomorrow, "format"),
        (lambda data: b'{"schema": {"a": [1]}}', "format"),
    ],
)
def test_a_strange_manifest_is_a_miss(
    store: Store, stranger: Callable[[bytes], bytes], kind: str
) -> None:
    path = toy.folder_of(store, "spelled") / "manifest.json"
    path.write_bytes(stranger(path.read_bytes()))
    assert toy.reasons(store)["spelled"] == kind
    assert toy.run(store) == ["spelled"]
    assert len(quarantined(store)) == 1
    assert toy.run(store) == []


def test_missing_added_and_swapped_files_are_damage(store: Store) -> None:
    words = toy.folder_of(store, "spelled") / "words"
    (words / "001.txt").unlink()
    assert toy.run(store) == ["spelled"]
    (words / "009.txt").write_text("more")  # a codec that globs would read it
    assert toy.run(store) == ["spelled"]
    first, second = words / "000.txt", words / "001.txt"
    first.rename(words / "x")
    second.rename(first)
    (words / "x").rename(second)
    assert toy.run(store) == ["spelled"]
    shutil.rmtree(words)
    words.write_text("a file where a folder should be")
    assert toy.run(store) == ["spelled"]
    (words.parent / "manifest.json").unlink()
    assert toy.run(store) == ["spelled"]
    shutil.rmtree(words.parent)
    words.parent.write_text("a file where the entry should be")
    assert toy.run(store) == ["spelled"]
    assert toy.run(store) == []


def test_an_entry_in_another_ones_place_is_damage(store: Store) -> None:
    mine = toy.folder_of(store, "doubled")
    toy.runner(store).run("doubled", {"seed": toy.leaf(1)})
    (other,) = (i.folder for i in store.entries() if i.stage == "doubled" and i.folder != mine)
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    assert toy.reasons(store)["doubled"] == "damaged"
    assert toy.run(store) == ["doubled"]


def test_litter_of_file_managers_is_harmless(store: Store) -> None:
    folder = toy.folder_of(store, "spelled")
    for name in (".DS_Store", "Thumbs.db", "words/.directory", "words/desktop.ini"):
        (folder / name).write_text("icons")
    assert toy.run(store) == []


def test_a_cache_may_be_moved(store: Store, tmp_path: Path) -> None:
    store.root.parent.rename(tmp_path / "elsewhere")
    assert toy.run(Store(tmp_path / "elsewhere")) == []


def test_a_home_is_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/cache").root == tmp_path / "cache" / "v1"


def test_a_read_only_cache_still_serves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system", "/cache")

    for target, name in ((Path, "mkdir"), (os, "utime"), (Path, "rename"), (os, "mkdir")):
        monkeypatch.setattr(target, name, refuse)
    assert toy.run(store) == []
    toy.CALLS.clear()
    with pytest.raises(CacheError, match=r"/cache: Read-only file system; .*--no-cache"):
        toy.run(store, {"spelled": {"loudness": 1}})
    assert toy.CALLS == []  # told before the work, not after it


def test_a_file_system_without_locks_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    for error in (OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")):

        def refuse(*_: Any, error: Exception = error, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
        store = Store(tmp_path / type(error).__name__)
        assert toy.run(store) == ALL
        assert toy.run(store) == []
        age(store, 1000)
        assert len(store.trim(0)) == 3


def test_a_cache_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("oops")
    with pytest.raises(CacheError, match=r"cache.*Not a directory"):
        toy.run(Store(tmp_path / "cache"))


def age(store: Store, seconds: float, stage: str = "") -> None:
    """Make entries look as if last used that long ago."""
    for item in store.items():
        if stage in ("", item.stage):
            used = item.used - seconds
            os.utime(item.folder, (used, used))


def test_listing_and_showing(store: Store) -> None:
    age(store, 60, "signed")
    items = store.entries()
    assert items[0].stage == "signed"  # least recently used first
    assert sorted(item.stage for item in items) == sorted(ALL)
    for item in items:
        manifest = store.show(item.key[:10]).manifest
        assert manifest.recipe["stage"] == item.stage
        assert item.size > sum(size for size, _ in manifest.files.values()) > 0
    with pytest.raises(InputError, match="none"):
        store.show("zz")
    with pytest.raises(InputError, match="signed"):
        store.show("")  # all of them


def test_verify_sets_the_damaged_aside(store: Store) -> None:
    assert store.verify() == []
    (toy.folder_of(store, "doubled") / "number.txt").write_text("43")
    (toy.folder_of(store, "signed") / "manifest.json").write_text("{")
    found = {item.stage: wrong for item, wrong in store.verify()}
    assert found == {
        "doubled": "number.txt altered",
        "signed": "unreadable: JSONDecodeError",
    }
    assert store.verify() == []
    assert toy.run(store) == ["doubled", "signed"]


def test_trim_takes_the_least_recently_used(store: Store) -> None:
    age(store, 1000)
    toy.run(store, value=5)
    age(store, 10)
    old = {item.key for item in store.entries()[:3]}
    sizes = [item.size for item in store.items()]
    assert store.trim(sum(sizes)) == []
    gone = store.trim(sum(sizes[3:]))
    assert {item.key for item in gone} == old
    assert not any((store.root / "locks" / key).exists() for key in old)
    assert toy.run(store, value=5) == []
    assert toy.leftovers(store) == []
    age(store, 10)
    store.trim(0)
    assert store.items() == []


def test_using_an_entry_saves_it_from_trim(store: Store) -> None:
    toy.run(store, value=5)
    age(store, 1000)
    toy.run(store)  # reuses the older ones
    age(store, 10)
    keep = sum(item.size for item in store.items()[3:])
    store.trim(keep)
    assert toy.run(store) == []


def test_trim_clears_quarantine_first_and_scratch_with_age(store: Store) -> None:
    (toy.folder_of(store, "doubled") / "number.txt").write_text("43")
    toy.run(store)
    scratch = store.folder("scratch", "ab" * 16, "-12345678")
    scratch.mkdir(parents=True)
    (scratch / "step").write_text("x" * 100)
    age(store, 10)
    os.utime(scratch, (0, 0))
    total = sum(item.size for item in store.items())
    assert [item.stage for item in store.trim(total - 1)] == ["quarantine"]
    total = sum(item.size for item in store.items())
    assert [item.stage for item in store.trim(total - 1)] == ["scratch"]
    assert toy.run(store) == []


def test_trim_leaves_what_is_locked_and_what_a_run_relies_on(store: Store) -> None:
    age(store, 1000)
    locked_key = toy.folder_of(store, "spelled").name
    with store.desk():  # a run goes on, which found this one in the cache
        store.touch("signed", toy.folder_of(store, "signed").name)
        with locked(store.root / "locks" / locked_key):
            gone = store.trim(0)
    assert [item.stage for item in gone] == ["doubled"]
    age(store, 1000)
    assert len(store.trim(0)) == 2


def test_a_run_registers_what_it_reuses_before_it_works(store: Store) -> None:
    """trim in the middle of a run takes nothing of it, however old."""
    toy.run(store, value=5)
    age(store, 1000)
    gone: list[Any] = []

    def trim(event: Any) -> None:
        if type(event).__name__ == "Started":
            gone.extend(store.trim(0))

    assert toy.run(store, {"signed": {"author": "me"}}, on_event=trim) == ["signed"]
    assert sorted(item.stage for item in gone) == sorted([*ALL, "signed"])


def test_the_desks_of_the_dead_are_swept_and_those_of_the_living_are_not(store: Store) -> None:
    with store.desk() as living:
        living.mkdir()
        child = os.fork()
        if child == 0:
            with store.desk() as dying:
                dying.mkdir()
                (dying / "half").write_text("an entry")
                os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        assert len([path for path in toy.leftovers(store) if path.is_dir()]) == 2
        with store.desk():
            assert [path for path in toy.leftovers(store) if path.is_dir()] == [living]
    assert toy.leftovers(store) == []


@pytest.mark.parametrize("where", ["save", "manifest", "fsync", "rename", "mkdir"])
def test_a_full_disk_is_told_and_earlier_results_stay(
    store: Store, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"spelled": {"loudness": 9}}
    before = snapshot(store)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        codecs = dict(toy.CODECS)
        if where == "save":

            def save(folder: Path, text: toy.Text) -> None:
                toy.save_text(folder, text)
                full()

            codecs[toy.Text] = type(codecs[toy.Text])(1, save, toy.load_text)
        targets: dict[str, tuple[Any, str]] = {
            "manifest": (Path, "write_bytes"),
            "fsync": (os, "fsync"),
            "rename": (Path, "rename"),
            "mkdir": (os, "mkdir"),
        }
        if where in targets:
            patch.setattr(*targets[where], full)
        with pytest.raises(CacheError, match="No space left on device") as error:
            toy.run(store, settings, codecs=codecs)
    assert str(store.root) in str(error.value)
    assert "\n" not in str(error.value)
    assert snapshot(store) == before
    assert [path for path in toy.leftovers(store) if path.is_dir()] == []
    assert toy.run(store) == []
    assert toy.run(store, settings) == ["spelled", "signed"]


def test_a_full_disk_for_real(tmp_path: Path) -> None:
    import subprocess

    room = tmp_path / "small"
    room.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(room)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a tmpfs is not permitted here")
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    try:
        store = Store(room)
        assert toy.run(store) == ALL
        before = snapshot(store)
        (room / "ballast").write_bytes(b"x" * (shutil.disk_usage(room).free - 8192))
        with pytest.raises(CacheError, match=r"small/v1.*No space left on device"):
            for value in range(100):
                toy.run(store, value=value)
        after = snapshot(store)
        assert {name: after[name] for name in before} == before
        assert store.verify() == []
        assert [path for path in toy.leftovers(store) if path.is_dir()] == []
        assert toy.run(store) == []
        (room / "ballast").unlink()
        assert toy.run(store, value=1000) == ALL
    finally:
        subprocess.run(["umount", str(room)], capture_output=True, check=True)


def test_history_is_looked_at_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of thousands of pictures must not read thousands of manifests a picture."""
    from img2mesh.graph import runner

    monkeypatch.setattr(runner, "_PAST", 3)
    store = Store(tmp_path)
    for value in range(5):
        toy.runner(store).run("doubled", {"seed": toy.leaf(value)})
    changed = {"doubled": {"factor": 3}}
    assert toy.reasons(store, changed, value=4)["doubled"] == "settings"
    assert toy.reasons(store, changed, value=0)["doubled"] == "first_run"


def test_an_item_that_is_gone_has_no_size_and_was_never_used(store: Store) -> None:
    item = store.entries()[0]
    shutil.rmtree(item.folder)
    assert item.size == 0
    assert item.manifest is None
    assert math.isfinite(item.used)
