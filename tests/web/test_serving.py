"""What a person does on the page: send photos, watch, cancel, fetch; reload and find it all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.web.conftest import LIMIT, Server, started, version_of


def test_a_photo_becomes_files_that_can_be_fetched(server: Server) -> None:
    key = server.upload("my%20cup.PNG", b"pixels")
    card = server.ended(key)
    assert card["state"] == "done" and card["name"] == "my cup.png"
    files = version_of(card)["files"]
    assert set(files) == {"mesh.glb", "report.html", "report.json", "run.json"}
    glb = server.api("GET", f"/jobs/{key}/v1/mesh.glb")
    assert glb.status == 200 and glb.body == b"glTF of pixels"
    assert files["mesh.glb"] == {"size": 14, "sha256": hashlib.sha256(glb.body).hexdigest()}
    assert glb.headers["content-type"] == "model/gltf-binary"
    assert server.api("GET", f"/jobs/{key}/v1/report.html").body == b"<p>a report"
    assert (server.root / "my cup" / "mesh.glb").exists()
    saved = server.api("GET", f"/jobs/{key}/v1/mesh.glb?save=1").headers["content-disposition"]
    assert saved.startswith("attachment") and "my%20cup_mesh.glb" in saved
    tag = glb.headers["etag"]
    again = server.api("GET", f"/jobs/{key}/v1/mesh.glb", If_None_Match=tag)
    assert again.status == 304 and again.body == b""


def test_a_geometric_result_is_never_called_learned(server: Server) -> None:
    card = server.ended(server.upload("cup.png", b"pixels"))
    assert version_of(card)["drawn_by"].startswith("geometric: weight-free, nothing learned")
    assert "weight-free" in server.api("GET", "/server").json["drawn_by"]


def test_a_second_photo_waits_for_the_first_but_its_outline_does_not(server: Server) -> None:
    first = server.upload("first.png", b"wait")
    second = server.upload("second.png", b"pixels")
    third = server.upload("third.png", b"pixels")
    card = server.until(first, lambda card: version_of(card).get("stage") == "radiance")
    running = version_of(card)
    assert running["state"] == "running" and running["stage_fraction"] == 0.25
    assert 0 < running["fraction"] < 1 and running["seconds_left"] > 0
    assert "cutout" in running["seconds"]
    for key in (second, third):
        server.until(key, lambda card: card["state"] == "waiting")
    jobs = server.jobs()
    assert [version_of(jobs[k])["ahead"] for k in (second, third)] == [1, 2]
    assert jobs[third]["outline"]["polygons"] and jobs[third]["photo"]
    assert server.api("GET", f"/jobs/{third}/photo").body == b"large"
    assert server.api("GET", f"/jobs/{third}/thumbnail").body == b"small"
    assert server.order() == ["first.png"]
    server.go()
    assert server.ended(third)["state"] == "done"
    assert server.order() == ["first.png", "second.png", "third.png"]


def test_a_bad_photo_gets_its_sentence_and_stops_nobody(server: Server) -> None:
    bad = server.upload("ode.jpg", b"bad")
    good = server.upload("cup.jpg", b"pixels")
    assert version_of(server.ended(bad))["error"] == "'ode.jpg' is a poem: expected a picture"
    assert server.ended(good)["state"] == "done"


def test_a_worker_that_ends_costs_one_photo(server: Server) -> None:
    keys = [server.upload("bomb.png", b"crash"), server.upload("deadly.png", b"die")]
    good = server.upload("cup.png", b"pixels")
    assert [server.ended(key)["state"] for key in keys] == ["failed", "failed"]
    assert server.ended(good)["state"] == "done"


def test_an_unsure_cutout_is_asked_for_where_somebody_is_there(server: Server) -> None:
    asked = server.upload("odd.png", b"odd", "&ask=1")
    unasked = server.upload("even.png", b"odd")
    refused = server.upload("none.png", b"none", "&ask=1")
    failed = server.upload("gone.png", b"none")
    assert server.asked(asked)["outline"]["confidence"] == 0.55
    assert server.ended(unasked)["state"] == "done"
    assert "no object was found" in server.asked(refused)["outline"]["refused"]
    assert version_of(server.ended(failed))["error"] == "No object was found in 'gone'"
    # There is nothing to agree to where nothing was found.
    assert server.api("PUT", f"/jobs/{refused}/mask", {"accept": True}).status == 409
    assert server.api("PUT", f"/jobs/{asked}/mask", {"accept": True}).status == 200
    assert server.ended(asked)["state"] == "done"


def test_a_box_is_shown_before_it_is_made_and_the_whole_picture_is_not(server: Server) -> None:
    key = server.upload("none.png", b"none", "&ask=1")
    server.asked(key)
    assert server.api("PUT", f"/jobs/{key}/mask", {"box": [1, 2, 30, 20]}).status == 200
    card = server.until(key, lambda card: not (card["outline"] or {}).get("refused"))
    assert server.asked(key)["versions"][0]["wish"]["box"] == [1, 2, 30, 20] and card
    assert server.api("PUT", f"/jobs/{key}/mask", {"whole": True}).status == 200
    card = server.ended(key)
    assert card["state"] == "done" and version_of(card)["wish"] == {"whole": True}


def test_a_drawn_mask_of_what_is_done_makes_a_second_version_beside_it(server: Server) -> None:
    key = server.upload("cup.png", b"odd")
    server.ended(key)
    answer = server.api("PUT", f"/jobs/{key}/mask", b"\x89PNG", Content_Type="image/png")
    assert answer.status == 200 and len(answer.json["versions"]) == 2
    card = server.ended(key)
    assert [v["state"] for v in card["versions"]] == ["done", "done"]
    assert version_of(card)["masked"] and version_of(card)["folder"] == str(server.root / "cup-v2")
    mask = server.api("GET", f"/jobs/{key}/v2/run.json").json["mask"]
    assert Path(mask).read_bytes() == b"\x89PNG"
    assert server.api("PUT", f"/jobs/{key}/mask", b"text", Content_Type="text/plain").status == 422


def test_another_setting_makes_another_version_at_a_price_that_is_told(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    told = server.api("GET", f"/jobs/{key}/plan?settings=%7B%22surface.target_faces%22:500%7D").json
    assert told["runs"] == ["surface"] and told["seconds"] > 0
    assert server.api("GET", f"/jobs/{key}/plan").json["runs"] == []
    wish = {"settings": {"surface.target_faces": 500}, "formats": ["obj"], "preset": "draft"}
    answer = server.api("POST", f"/jobs/{key}/versions", wish)
    assert answer.status == 201
    card = server.ended(key)
    assert version_of(card)["wish"] == wish and version_of(card)["number"] == 2
    settings = server.api("GET", f"/jobs/{key}/v2/run.json").json["settings"]
    assert settings["surface"]["target_faces"] == 500
    assert settings["views"]["generator"] == "geometric"  # the server's own flag stays
    for bad in (
        {"settings": {"surface.faces": 5}}, {"settings": {"cutout.model": "/etc/passwd"}},
        {"settings": {"refined.refiner": "/etc"}}, {"settings": {"asset.refiner": "/etc"}},
        {"settings": {"views.generator": "/tmp/x.safetensors"}}, {"preset": "../x"},
        {"formats": ["exe"]}, {"faces": 5}, {"settings": {"surface.target_faces": -1}},
    ):  # fmt: skip
        answer = server.api("POST", f"/jobs/{key}/versions", bad)
        assert answer.status == 422 and answer.json["error"], bad


def test_formats_are_made_on_the_first_asking(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    assert not (server.root / "cup" / "mesh.stl").exists()
    for _ in range(2):
        stl = server.api("GET", f"/jobs/{key}/v1/mesh.stl")
        assert stl.status == 200 and stl.body == b"converted glTF of pixels"
    assert server.api("GET", f"/jobs/{key}/v1/known.png").body == b"hatched"
    assert server.api("GET", f"/jobs/{key}/v1/all.zip").body[:2] == b"PK"
    assert server.api("GET", f"/zip?jobs={key},nobody").body[:2] == b"PK"
    assert server.api("GET", "/zip?jobs=nobody").status == 404
    assert server.api("GET", f"/jobs/{key}/v1/mesh.exe").status == 404


def test_cancelling_what_waits_leaves_the_rest(server: Server) -> None:
    first = server.upload("first.png", b"wait")
    second = server.upload("second.png", b"pixels")
    third = server.upload("third.png", b"pixels")
    assert server.api("POST", f"/jobs/{second}/cancel").status == 200
    server.go()
    assert server.ended(third)["state"] == "done"
    assert server.jobs()[second]["state"] == "cancelled"
    assert server.ended(first)["state"] == "done"
    assert server.order() == ["first.png", "third.png"]
    # What was cancelled can be had after all, and removed for good.
    assert server.api("POST", f"/jobs/{second}/retry").status == 200
    assert server.ended(second)["state"] == "done"
    assert server.api("POST", f"/jobs/{second}/retry").status == 409


def test_cancelling_what_is_made_ends_it_and_the_next_one_follows(server: Server) -> None:
    first = server.upload("first.png", b"wait")
    second = server.upload("second.png", b"pixels")
    server.until(first, lambda card: version_of(card).get("stage") == "radiance")
    assert server.api("POST", f"/jobs/{first}/cancel").status == 200
    assert server.jobs()[first]["state"] == "cancelled"
    assert server.ended(second)["state"] == "done"
    assert not (server.root / "first").exists()


def test_what_has_ended_cannot_be_cancelled_but_removed(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    answer = server.api("POST", f"/jobs/{key}/cancel")
    assert answer.status == 409 and "had ended" in answer.json["error"]
    assert server.jobs()[key]["state"] == "done"
    assert server.api("POST", "/jobs/nobody/cancel").status == 404
    revision = server.api("GET", "/jobs").json["revision"]
    assert server.api("DELETE", f"/jobs/{key}").status == 200
    assert server.api("GET", f"/jobs?since={revision}").json["removed"] == [key]
    assert (server.root / "cup" / "mesh.glb").exists()
    assert not list((server.root / ".serve").rglob("cup.png"))
    other = server.upload("vase.png", b"pixels")
    server.ended(other)
    assert server.api("DELETE", f"/jobs/{other}?files=true").status == 200
    # What img2mesh did not write is not its to delete.
    assert [p.name for p in (server.root / "vase").iterdir()] == ["secret.txt"]


def test_only_what_changed_is_told(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    told = server.api("GET", "/jobs").json
    assert [card["id"] for card in told["jobs"]] == [key]
    later = server.api("GET", f"/jobs?since={told['revision']}").json
    assert later["jobs"] == [] and later["life"] == told["life"]
    # Who waits for a change gets it as soon as there is one.
    again = server.api("GET", f"/jobs?since={told['revision'] - 1}", Prefer="wait=50")
    assert [card["id"] for card in again.json["jobs"]] == [key]
    assert server.api("GET", f"/jobs/{key}", Prefer="wait=50").json["state"] == "done"


def test_what_was_made_is_there_after_a_restart(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    with started(root) as one:
        key = one.server.upload("cup.png", b"pixels", "&group=trip")
        one.server.ended(key)
        one.server.api("POST", f"/jobs/{key}/versions", {"settings": {"surface.target_faces": 9}})
        before = one.server.ended(key)
        waits = one.server.upload("late.png", b"wait")
        one.server.until(waits, lambda card: card["state"] == "running")
        life = one.server.api("GET", "/jobs").json["life"]
    foreign = root / "by-hand"
    foreign.mkdir()
    (foreign / "run.json").write_text('{"input": {"digest": "x", "path": "/etc/passwd"}}')
    (foreign / "report.json").write_text('{"warnings": []}')
    with started(root) as one:
        jobs = one.server.jobs()
        assert jobs[key]["state"] == "done" and jobs[key]["group"] == "trip"
        assert [v["number"] for v in jobs[key]["versions"]] == [1, 2]
        assert version_of(jobs[key])["wish"] == version_of(before)["wish"]
        assert waits not in jobs and one.server.api("GET", "/jobs").json["life"] != life
        assert one.server.api("GET", f"/jobs/{key}/v2/mesh.glb").status == 200
        (other,) = [card for card in jobs.values() if card["id"] != key]
        assert other["name"] == "passwd" and not other["here"]
        assert one.server.api("GET", f"/jobs/{other['id']}/photo").status == 404
        # The same photo again is the same mesh: one card, not two.
        again = one.server.upload("cup.png", b"pixels")
        one.server.ended(again)
        assert version_of(one.server.jobs()[again])["folder"] == str(root / "cup")
        assert [v["number"] for v in one.server.jobs()[key]["versions"]] == [2]


@pytest.mark.parametrize("path", ["/", "/assets/page.css", "/assets/page.js"])
def test_the_page_asks_for_nothing_from_elsewhere(server: Server, path: str) -> None:
    answer = server.get(path)
    assert answer.status == 200 and b"://" not in answer.body.replace(b"http://www.w3.org/", b"")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_empty_photo_is_refused(server: Server) -> None:
    answer = server.api("POST", "/jobs?name=cup.png", b"")
    assert answer.status == 415 and "empty" in answer.json["error"]
    assert server.jobs() == {} and not list((server.root / ".serve").glob("*"))


def test_only_photos_are_taken(server: Server) -> None:
    for name in ("notes.txt", "page.html", "cup"):
        answer = server.api("POST", f"/jobs?name={name}", b"pixels")
        assert answer.status == 415 and "is not a photo" in answer.json["error"], name
    assert server.jobs() == {}


FORM = (
    b'--x\r\nContent-Disposition: form-data; name="photo"; filename="cup.png"\r\n\r\npixels\r\n'
    b'--x\r\nContent-Disposition: form-data; name="mask"; filename="m.png"\r\n\r\nmask\r\n'
    b'--x\r\nContent-Disposition: form-data; name="settings"\r\n\r\n'
    b'{"surface.target_faces": 7}\r\n--x--\r\n'
)


def test_a_form_brings_photo_mask_and_settings(server: Server) -> None:
    kind = "multipart/form-data; boundary=x"
    answer = server.api("POST", "/jobs", FORM, Content_Type=kind)
    assert answer.status == 201
    key = answer.json["id"]
    card = server.ended(key)
    assert card["name"] == "cup.png" and version_of(card)["masked"]
    record = server.api("GET", f"/jobs/{key}/v1/run.json").json
    assert record["settings"]["surface"] == {"target_faces": 7}
    assert Path(record["mask"]).read_bytes() == b"mask"
    for bad, kind in (
        (b"--x--\r\n", "multipart/form-data; boundary=x"), (b"pixels", "multipart/form-data"),
        (FORM, "multipart/mixed; boundary=x"), (b"a=b", "application/x-www-form-urlencoded"),
    ):  # fmt: skip
        answer = server.api("POST", "/jobs?name=a.png", bad, Content_Type=kind)
        assert answer.status in (415, 422) and "form" in answer.json["error"], kind
    assert list(server.jobs()) == [key]


@pytest.mark.parametrize("announced", [True, False])
def test_a_photo_that_is_too_large_is_refused_and_leaves_nothing(
    server: Server, announced: bool
) -> None:
    content = b"x" * (LIMIT + 1)
    body = content if announced else iter([content[:LIMIT], content[LIMIT:]])
    answer = server.ask("POST", "/api/v1/jobs?name=cup.png", body, encode_chunked=not announced,
                        **({} if announced else {"Transfer_Encoding": "chunked"}))  # fmt: skip
    assert answer.status == 413 and "larger than the 4 KiB" in answer.json["error"]
    assert server.jobs() == {} and not list(server.root.rglob("*cup*"))
    assert server.upload("cup.png", content[:LIMIT])


def test_one_call_brings_a_mesh(server: Server) -> None:
    answer = server.api("POST", "/mesh?name=cup.png", b"pixels")
    assert answer.status == 200 and answer.body == b"glTF of pixels"
    assert answer.headers["location"].startswith("/api/v1/jobs/")
    stl = server.api("POST", "/mesh?format=stl", b"pixels")
    assert stl.body == b"converted glTF of pixels"
    bad = server.api("POST", "/mesh", b"bad")
    assert bad.status == 422 and "is a poem" in bad.json["error"]
    assert server.api("POST", "/mesh?format=exe", b"pixels").status == 422
    slow = server.api("POST", "/mesh?timeout=0.2", b"wait")
    assert slow.status == 504 and "still being made" in slow.json["error"]
    key = slow.headers["location"].rpartition("/")[2]
    server.go()
    assert server.ended(key)["state"] == "done"


def test_the_same_key_is_the_same_photo(server: Server) -> None:
    answers = [
        server.api("POST", "/jobs?name=a.png", b"pixels", Idempotency_Key="k").json["id"]
        for _ in range(2)
    ]
    assert answers[0] == answers[1] and len(server.jobs()) == 1
