"""Names that no order can change, and manifests whose bad lines are named by number."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from img2mesh.batch.items import Entry, name_items
from img2mesh.batch.manifest import read_manifest
from img2mesh.batch.planning import entries_from, plan_photos
from img2mesh.errors import InputError
from img2mesh.jobs.request import OutputOptions


def files(folder: Path, **contents: str) -> list[Entry]:
    """Entries of files; two underscores in a name stand for a slash."""
    entries = []
    for name, content in contents.items():
        path = folder / f"{name.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        entries.append(Entry(path, origin=str(path)))
    return entries


def test_a_stem_of_its_own_is_the_name(tmp_path: Path) -> None:
    items, duplicates = name_items(files(tmp_path, chair="a", table="b"))
    assert [item.name for item in items] == ["chair", "table"] and not duplicates


def test_clashing_stems_all_get_a_hash_whatever_the_order(tmp_path: Path) -> None:
    entries = files(tmp_path, a__chair="1", b__chair="2", c__CHAIR="3", table="4")
    names = {item.entry.source: item.name for item in name_items(entries)[0]}
    assert len(set(names.values())) == 4
    assert all(len(name) == len("chair-12345678") for p, name in names.items() if p.stem != "table")
    for seed in range(5):
        shuffled = random.Random(seed).sample(entries, len(entries))
        assert {i.entry.source: i.name for i in name_items(shuffled)[0]} == names


def test_the_same_content_and_settings_are_done_once(tmp_path: Path) -> None:
    first, again = files(tmp_path, a__chair="1", b__chair="1")
    items, duplicates = name_items([first, again])
    assert len(items) == 1 and duplicates == [(again, first)]
    other = Entry(again.source, assignments=("radiance.grid=64",))
    assert len(name_items([first, other])[0]) == 2


def test_the_batch_s_own_names_are_not_given_away(tmp_path: Path) -> None:
    items, _ = name_items(files(tmp_path, quarantine="1"))
    assert items[0].name.startswith("quarantine-")


def test_files_that_cannot_be_read_still_have_names(tmp_path: Path) -> None:
    entries = [Entry(tmp_path / "a" / "x.png"), Entry(tmp_path / "b" / "x.png")]
    assert len({item.name for item in name_items(entries)[0]}) == 2


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv(tmp_path: Path) -> None:
    header = "\ufeffpath,name,preset,radiance.grid,mask"
    text = f'{header}\nchair.png,,,64,\n\n"a, b.png",odd,draft,,m.png\n'
    first, second = read_manifest(write(tmp_path / "list.csv", text))
    assert first == Entry(
        tmp_path / "chair.png", assignments=("radiance.grid=64",), origin=first.origin
    )
    assert (second.source, second.name, second.preset) == (tmp_path / "a, b.png", "odd", "draft")
    assert second.mask == tmp_path / "m.png" and second.assignments == ()
    assert second.origin.endswith("list.csv, line 4")


def test_jsonl(tmp_path: Path) -> None:
    text = (
        '{"path": "a.png", "radiance.use_photo": false, "radiance.grid": 64}\n\n{"path": "b.png"}\n'
    )
    first, second = read_manifest(write(tmp_path / "list.jsonl", text))
    assert first.assignments == ("radiance.use_photo=false", "radiance.grid=64")
    assert second.origin.endswith("line 3")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("l.csv", "file,name\na.png,x\n", "line 1: the header has no column 'path'"),
        ("l.csv", "path,path\na.png,x\n", "line 1: the column 'path' comes twice"),
        ("l.csv", "path,nmae\na.png,x\n", "line 2: unknown column 'nmae'; did you mean 'name'"),
        ("l.csv", "path\na.png\nb.png,c.png\n", "line 3: has 2 cells"),
        ("l.csv", 'path\na.png\n"b.png\n', "line 3"),
        ("l.csv", "path,name\na.png,../x\n", "line 2: '../x' cannot name a folder"),
        ("l.csv", "path,name\na.png,batch.jsonl\n", "line 2: the name 'batch.jsonl' is"),
        ("l.csv", "path,name\n,x\n", "line 2: names no picture"),
        ("l.csv", "", "lists nothing"),
        ("l.jsonl", '{"path": "a.png"}\n{"path": \n', "line 2: is not JSON"),
        ("l.jsonl", '["a.png"]\n', "line 1: expected one JSON object"),
        ("l.jsonl", '{"path": 3}\n', "line 1: 'path' expects text"),
        ("l.jsonl", '{"path": "a", "radiance.grid": [1]}\n', "line 1: 'radiance.grid' expects"),
        ("l.txt", "a.png\n", "must end in .csv or .jsonl"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        read_manifest(write(tmp_path / name, text))
    assert sentence in str(caught.value)


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"path\na.png\n\xff\xfe.png\n")
    with pytest.raises(InputError, match="line 3: is not UTF-8"):
        read_manifest(tmp_path / "l.csv")


def planned(entries: list[Entry]) -> object:
    return plan_photos(
        entries, preset="draft", assignments=[], options=OutputOptions(), offline=False
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a.png,draft,x", "line 2: radiance.grid expects int, got 'x'"),
        ("a.png,drfat,64", "line 2: unknown preset 'drfat'; did you mean 'draft'"),
    ],
)
def test_settings_are_checked_before_work_starts(tmp_path: Path, line: str, sentence: str) -> None:
    path = write(tmp_path / "l.csv", f"path,preset,radiance.grid\n{line}\n")
    with pytest.raises(InputError) as caught:
        planned(entries_from([], path))
    assert sentence in str(caught.value)


def test_one_name_for_two_inputs_is_an_error_that_names_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "path,name\na.png,x\nb.png,y\nc.png,X\n")
    with pytest.raises(InputError, match=r"line 4: the name 'X' was already given at .*line 2"):
        planned(entries_from([], path))


def test_nothing_to_do_is_an_error() -> None:
    with pytest.raises(InputError, match="nothing to do"):
        entries_from([], None)


def test_an_item_s_settings_reach_its_worker_and_its_fingerprint(tmp_path: Path) -> None:
    from img2mesh.worker.task import decode

    entries = files(tmp_path, a="1", b="2")
    entries[1] = Entry(entries[1].source, assignments=("radiance.grid=64",))
    plan = planned(entries)
    a, b = plan.items  # type: ignore[attr-defined]
    request, options = decode(plan.payload(b))  # type: ignore[attr-defined]
    assert request.settings["radiance"]["grid"] == 64 and options.mesh_formats == ("glb",)
    assert request.preset == "draft" and request.until == "quality"
    assert plan.settings(a) != plan.settings(b)  # type: ignore[attr-defined]
