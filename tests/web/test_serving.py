"""What a person does on the page: send photos, watch, cancel, fetch; reload and find it all."""

from __future__ import annotations

import pytest

from tests.web.conftest import LIMIT, Server


def test_a_photo_becomes_files_that_can_be_fetched(server: Server) -> None:
    key = server.upload("my%20cup.PNG", b"pixels")
    card = server.ended(key)
    assert card["state"] == "done" and card["name"] == "my cup.png"
    assert set(card["files"]) == {"mesh.glb", "report.html"}
    glb = server.get(f"/jobs/{key}/files/mesh.glb")
    assert glb.status == 200 and glb.body == b"glTF of pixels"
    assert glb.headers["content-type"] == "model/gltf-binary"
    assert server.get(f"/jobs/{key}/files/report.html").body == b"<p>a report"
    assert (server.root / "my cup" / "mesh.glb").exists()


def test_a_geometric_result_is_never_called_learned(server: Server) -> None:
    card = server.ended(server.upload("cup.png", b"pixels"))
    assert card["drawn_by"].startswith("geometric: weight-free, nothing learned")
    assert "weight-free" in server.get("/jobs").json["server"]["drawn_by"]


def test_a_second_photo_waits_for_the_first(server: Server) -> None:
    first = server.upload("first.png", b"wait")
    second = server.upload("second.png", b"pixels")
    third = server.upload("third.png", b"pixels")
    card = server.until(first, lambda card: card.get("stage") == "radiance")
    assert card["state"] == "running" and card["fraction"] == 0.25
    assert "cutout" in card["seconds"]
    jobs = server.jobs()
    assert [jobs[k]["state"] for k in (second, third)] == ["waiting", "waiting"]
    assert [jobs[k]["ahead"] for k in (second, third)] == [1, 2]
    assert server.order() == ["first.png"]
    server.go()
    assert server.ended(third)["state"] == "done"
    assert server.order() == ["first.png", "second.png", "third.png"]


def test_a_bad_photo_gets_its_sentence_and_stops_nobody(server: Server) -> None:
    bad = server.upload("ode.jpg", b"bad")
    good = server.upload("cup.jpg", b"pixels")
    assert server.ended(bad)["error"] == "'ode.jpg' is a poem: expected a picture"
    assert server.ended(good)["state"] == "done"
    assert not list((server.root / ".serve").rglob("ode.jpg"))


def test_a_worker_that_ends_costs_one_photo(server: Server) -> None:
    crash = server.upload("bomb.png", b"crash")
    good = server.upload("cup.png", b"pixels")
    assert server.ended(crash)["state"] == "failed"
    assert server.ended(good)["state"] == "done"


def test_cancelling_what_waits_leaves_the_rest(server: Server) -> None:
    first = server.upload("first.png", b"wait")
    second = server.upload("second.png", b"pixels")
    third = server.upload("third.png", b"pixels")
    assert server.ask("POST", f"/jobs/{second}/cancel").status == 200
    server.go()
    assert server.ended(third)["state"] == "done"
    assert server.jobs()[second]["state"] == "cancelled"
    assert server.jobs()[first]["state"] == "done"
    assert server.order() == ["first.png", "third.png"]
    assert not list((server.root / ".serve").rglob("second.png"))


def test_cancelling_what_is_made_ends_it_and_the_next_one_follows(server: Server) -> None:
    first = server.upload("first.png", b"wait")
    second = server.upload("second.png", b"pixels")
    server.until(first, lambda card: card.get("stage") == "radiance")
    assert server.ask("POST", f"/jobs/{first}/cancel").status == 200
    assert server.jobs()[first]["state"] == "cancelled"
    assert server.ended(second)["state"] == "done"
    assert not (server.root / "first").exists()


def test_what_has_ended_cannot_be_cancelled(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    answer = server.ask("POST", f"/jobs/{key}/cancel")
    assert answer.status == 409 and "had ended" in answer.json["error"]
    assert server.jobs()[key]["state"] == "done"
    assert server.ask("POST", "/jobs/nobody/cancel").status == 404


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js"])
def test_the_page_asks_for_nothing_from_elsewhere(server: Server, path: str) -> None:
    answer = server.get(path)
    assert answer.status == 200 and b"://" not in answer.body
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_empty_photo_is_refused(server: Server) -> None:
    answer = server.ask("POST", "/jobs?name=cup.png", b"")
    assert answer.status == 415 and "empty" in answer.json["error"]
    assert server.jobs() == {}


def test_only_photos_are_taken(server: Server) -> None:
    for name in ("notes.txt", "page.html", "cup", ""):
        answer = server.ask("POST", f"/jobs?name={name}", b"pixels")
        assert answer.status == 415 and "is not a photo" in answer.json["error"], name
    assert server.jobs() == {}


@pytest.mark.parametrize("announced", [True, False])
def test_a_photo_that_is_too_large_is_refused_and_leaves_nothing(
    server: Server, announced: bool
) -> None:
    content = b"x" * (LIMIT + 1)
    body = content if announced else iter([content[:LIMIT], content[LIMIT:]])
    answer = server.ask("POST", "/jobs?name=cup.png", body, encode_chunked=not announced,
                        **({} if announced else {"Transfer_Encoding": "chunked"}))  # fmt: skip
    assert answer.status == 413 and "larger than the 4 KiB" in answer.json["error"]
    assert server.jobs() == {} and not list(server.root.rglob("*cup*"))
    assert server.upload("cup.png", content[:LIMIT])
