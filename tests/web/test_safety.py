"""Who is not answered, and what nobody gets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from img2mesh.errors import InputError
from img2mesh.web import guard
from img2mesh.web import server as serving
from img2mesh.web.uploads import safe_name
from tests.web.conftest import Server


@pytest.mark.parametrize(
    "name",
    ["..%2F..%2Fevil.png", "%2Fetc%2Fevil.png", "..%5C..%5Cevil.png", "..%2Fevil.png%00.png"],
)
def test_a_name_leads_nowhere(server: Server, tmp_path: Path, name: str) -> None:
    assert server.ended(server.upload(name, b"pixels"))["state"] == "done"
    for path in tmp_path.rglob("*evil*"):
        assert server.root in path.parents
    made = [path.parent.parent for path in tmp_path.rglob("mesh.glb")]
    assert made == [server.root]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cup.JPG", "cup.jpg"),
        (".hidden.png", "hidden.png"),
        ("...png", "photo.png"),
        ("a/b\\c.webp", "c.webp"),
        ("<b>&\x00\n.png", "_b____.png"),
        ("чашка.png", "чашка.png"),
        ("x" * 300 + ".png", "x" * 56 + ".png"),
    ],
)
def test_names_are_made_harmless(given: str, kept: str) -> None:
    assert safe_name(given) == kept


@pytest.mark.parametrize(
    "path",
    [
        "secret.txt",
        "..%2Fcup%2Fsecret.txt",
        "../order",
        "..%2Forder",
        "%2Fetc%2Fpasswd",
        "",
        ".",
    ],
)
def test_only_delivered_files_are_served(server: Server, path: str) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    assert (server.root / "cup" / "secret.txt").exists()
    answer = server.get(f"/jobs/{key}/files/{path}")
    assert answer.status == 404 and b"not delivered" not in answer.body


def test_there_is_no_listing_and_no_guessing(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    for path in (f"/jobs/{key}", f"/jobs/{key}/files", "/outputs", "/.serve", "/assets"):
        assert server.get(path).status == 404, path
    assert server.get("/jobs/0000/files/mesh.glb").status == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""]
)
def test_a_foreign_host_is_refused(server: Server, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/jobs"), ("POST", "/jobs?name=cup.png")):
        answer = server.ask(method, path, b"pixels" if method == "POST" else None, Host=host)
        assert answer.status == 403 and "is not called" in answer.json["error"]
    assert server.jobs() == {}


@pytest.mark.parametrize("host", ["localhost:80", "LOCALHOST", "127.0.0.1"])
def test_the_server_s_own_names_are_answered(server: Server, host: str) -> None:
    assert server.get("/jobs", Host=host).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://localhost"]
)
def test_a_foreign_page_cannot_post(server: Server, origin: str) -> None:
    waiting = server.upload("first.png", b"wait")
    for path in ("/jobs?name=cup.png", f"/jobs/{waiting}/cancel"):
        assert server.ask("POST", path, b"pixels", Origin=origin).status == 403
    assert list(server.jobs()) == [waiting]
    assert server.jobs()[waiting]["state"] != "cancelled"


def test_the_own_page_can_post(server: Server) -> None:
    origin = f"http://127.0.0.1:{server.port}"
    assert server.ask("POST", "/jobs?name=cup.png", b"pixels", Origin=origin).status == 201


def test_a_report_runs_as_a_page_of_no_origin(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    answer = server.get(f"/jobs/{key}/files/report.html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox ") and "allow-same-origin" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_open_to_all_a_server_answers_to_addresses_but_not_to_any_name() -> None:
    names = guard.names_of("0.0.0.0", "Box")
    for host in ("192.168.1.9:7860", "[fe80::1]:7860", "box:7860", "localhost"):
        assert guard.refusal("GET", host, None, names) is None, host
    assert guard.refusal("GET", "evil.example", None, names)
    one = guard.names_of("192.168.1.9", "Box")
    assert guard.refusal("GET", "192.168.1.9:7860", None, one) is None
    assert guard.refusal("GET", "10.0.0.1:7860", None, one)


def test_a_port_is_taken_from_the_moment_it_is_listened_on() -> None:
    with serving.listen("127.0.0.1", 0) as listener:
        with pytest.raises(InputError, match=r"in use.*choose another --port"):
            serving.listen("127.0.0.1", listener.getsockname()[1])
        assert serving.is_loopback(listener)
    with serving.listen("0.0.0.0", 0) as listener:
        assert not serving.is_loopback(listener)
        assert serving.address_of(listener).startswith("http://localhost:")
        with socket.create_connection(listener.getsockname()):
            pass


def test_a_host_of_another_machine_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.1"):
        serving.listen("192.0.2.1", 0)
