"""Who is not answered, and what nobody gets."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from img2mesh.errors import InputError
from img2mesh.web import addresses, connections, guard, queue
from img2mesh.web.connections import BACKLOG, Connection, Connections
from img2mesh.web.uploads import safe_name
from tests.web.conftest import PATIENCE, Server, started, version_of


def test_a_name_leads_nowhere(server: Server, tmp_path: Path) -> None:
    for name in ("..%2F..%2Fevil.png", "%2Fetc%2Fevil.png", "..%5C..%5Cevil.png",
                 "..%2Fevil.png%00.png"):  # fmt: skip
        assert server.ended(server.upload(name, b"pixels"))["state"] == "done"
    for path in tmp_path.rglob("*evil*"):
        assert server.root in path.parents
    assert {path.parent.parent for path in tmp_path.rglob("mesh.glb")} == {server.root}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cup.JPG", "cup.jpg"),
        (".hidden.png", "hidden.png"),
        ("...png", "photo.png"),
        ("a/b\\c.webp", "c.webp"),
        ("<b>&\x00\n.png", "_b____.png"),
        ("чашка.png", "чашка.png"),
        ("\U0001f600.png", "\U0001f600.png"),
        ("$(touch x)\u202egpj.png", "_(touch x)_gpj.png"),
        ("x" * 300 + ".png", "x" * 56 + ".png"),
    ],
)
def test_names_are_made_harmless(given: str, kept: str) -> None:
    assert safe_name(given) == kept


def test_only_delivered_files_are_served(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    assert (server.root / "cup" / "secret.txt").exists()
    for path in (
        "secret.txt", "..%2Fcup%2Fsecret.txt", "../order", "..%2Forder", "%2Fetc%2Fpasswd",
        "%2e%2e%2forder", "%252e%252e%252forder", "..%5Corder", "mesh.glb%00", "//etc/passwd",
        ".serve", "", ".",
    ):  # fmt: skip
        answer = server.api("GET", f"/jobs/{key}/v1/{path}")
        assert answer.status == 404 and b"not delivered" not in answer.body, path


def test_there_is_no_listing_and_no_guessing(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    for path in (
        f"/api/v1/jobs/{key}/v1", f"/api/v1/jobs/{key}/v2/mesh.glb", "/outputs", "/.serve",
        "/assets", "/assets/..%2fserver.py", "/assets/index.html", "/api/v1/jobs/0/v1/mesh.glb",
        "/api/v1/examples/..%2F..%2Fpyproject.toml", "/api/v1/jobs/0",
    ):  # fmt: skip
        assert server.get(path).status == 404, path


def test_links_are_not_followed(server: Server, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    mesh = server.root / "cup" / "mesh.glb"
    outside.write_bytes(b"a secret of somebody else")
    mesh.unlink()
    mesh.symlink_to(outside)
    assert server.api("GET", f"/jobs/{key}/v1/mesh.glb").status == 404
    assert b"secret" not in server.api("GET", f"/jobs/{key}/v1/all.zip").body
    # Nor a folder, neither for what was made nor for what is to be made.
    mesh.unlink()
    shutil.move(server.root / "cup", tmp_path / "elsewhere")
    (server.root / "cup").symlink_to(tmp_path / "elsewhere")
    assert server.api("GET", f"/jobs/{key}/v1/report.html").status == 404
    again = server.upload("cup.png", b"pixels")
    folder = version_of(server.ended(again))["folder"]
    assert folder != str(server.root / "cup") and Path(folder).parent == server.root


def test_a_foreign_host_is_refused(server: Server) -> None:
    for host in (
        "evil.example", "evil.example:7860", "127.0.0.1.evil.example", "127.1", "2130706433",
        "0x7f000001", "evil@127.0.0.1", "0.0.0.0", "localhost.", "",
    ):  # fmt: skip
        for method, path in (("GET", "/"), ("GET", "/api/v1/jobs"), ("POST", "/api/v1/jobs")):
            body = b"pixels" if method == "POST" else None
            answer = server.ask(method, path, body, Host=host)
            assert answer.status == 403 and "is not called" in answer.json["error"], host
    assert server.jobs() == {}


def test_the_server_s_own_names_are_answered(server: Server) -> None:
    for host in ("localhost:80", "LOCALHOST", "127.0.0.1", "mynas.lan:7860"):
        assert server.get("/api/v1/jobs", Host=host).status == 200


def test_a_foreign_page_cannot_change_anything(server: Server) -> None:
    waiting = server.upload("first.png", b"wait")
    for origin in (
        "http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://localhost", "",
    ):  # fmt: skip
        for verb, path in (
            ("POST", "/jobs?name=cup.png"), ("POST", f"/jobs/{waiting}/cancel"), ("POST", "/mesh"),
            ("DELETE", f"/jobs/{waiting}"), ("PUT", f"/jobs/{waiting}/mask"), ("OPTIONS", "/jobs"),
        ):  # fmt: skip
            answer = server.api(verb, path, b"pixels", Origin=origin)
            assert answer.status == 403, (origin, verb)
            assert not any("allow-origin" in name for name in answer.headers)
    assert list(server.jobs()) == [waiting]
    assert server.jobs()[waiting]["state"] != "cancelled"


def test_the_own_page_can_post(server: Server) -> None:
    origin = f"http://127.0.0.1:{server.port}"
    assert server.api("POST", "/jobs?name=cup.png", b"pixels", Origin=origin).status == 201


def test_a_report_runs_as_a_page_of_no_origin(server: Server) -> None:
    key = server.upload("cup.png", b"pixels")
    server.ended(key)
    answer = server.api("GET", f"/jobs/{key}/v1/report.html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox ") and "allow-same-origin" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_error_is_the_same_json(server: Server) -> None:
    for verb, path, status in (
        ("PATCH", "/api/v1/jobs", 405), ("POST", "/", 405), ("GET", "/nothing", 404),
        ("PUT", "/api/v1/server", 405),
    ):  # fmt: skip
        answer = server.ask(verb, path)
        assert answer.status == status and answer.json["error"], path


def test_with_a_token_only_who_knows_it_is_answered(tmp_path: Path) -> None:
    with started(tmp_path / "outputs", token="open-sesame") as one:
        server = one.server
        for path in ("/", "/?t=wrong", "/api/v1/jobs", "/assets/page.js", "/api/v1/jobs?t=x"):
            answer = server.get(path)
            assert answer.status == 401 and "token" in answer.json["error"]
        assert server.api("POST", "/jobs?name=a.png&t=open-sesame", b"pixels").status == 401
        entered = server.get("/?t=open-sesame")
        assert entered.status == 303 and entered.headers["location"] == "/"
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert server.get("/", Cookie=cookie.partition(";")[0]).status == 200
        assert server.get("/", Cookie="img2mesh=open-sesam").status == 401
        assert server.get("/api/v1/jobs", Authorization="Bearer open-sesame").status == 200
        assert server.get("/api/v1/jobs", Authorization="Basic open-sesame").status == 401
        assert server.get("/?t=open-sesame", Host="evil.example").status == 403


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WAITING", 3)
    with started(tmp_path / "outputs") as one:
        keys = [one.server.upload(f"{n}.png", b"wait") for n in range(3)]
        answer = one.server.api("POST", "/jobs?name=more.png", b"pixels")
        assert answer.status == 429 and "wait here already" in answer.json["error"]
        one.server.api("POST", f"/jobs/{keys[0]}/cancel")
        one.server.upload("more.png", b"pixels")
        assert not list(one.server.root.rglob("*.part"))


def test_the_disk_is_bounded_and_the_oldest_photo_goes_first(tmp_path: Path) -> None:
    with started(tmp_path / "outputs", disk=7000) as one:
        keys = []
        for n in range(3):
            keys.append(one.server.upload(f"{n}.png", f"{n}".encode() * 3000))
            one.server.ended(keys[-1])
        jobs = one.server.jobs()
        assert [jobs[key]["here"] for key in keys] == [False, True, True]
        assert one.server.api("GET", f"/jobs/{keys[0]}/v1/mesh.glb").status == 200
        wish = {"settings": {"surface.target_faces": 9}}
        assert one.server.api("POST", f"/jobs/{keys[0]}/versions", wish).status == 409
    with started(tmp_path / "other", disk=10) as one:
        assert one.server.api("POST", "/jobs?name=a.png", b"x" * 20).status == 507
        assert one.server.jobs() == {}


def test_who_dawdles_is_ended_and_who_is_served_is_not() -> None:
    closed: list[str] = []
    book = Connections(most=2)
    assert book.opened(("a", 1), lambda: closed.append("a"), 0.0)
    assert book.opened(("b", 1), lambda: closed.append("b"), 1.0)
    book.turn(("a", 1), "answer", 1.0)
    # The one being answered keeps its place, the silent one loses it.
    assert book.opened(("c", 1), lambda: closed.append("c"), 2.0) and closed == ["b"]
    book.turn(("c", 1), "answer", 2.0)
    assert not book.opened(("d", 1), lambda: closed.append("d"), 3.0)
    book.look(1000.0)
    assert closed == ["b"]
    book.turn(("c", 1), "body", 1000.0)
    book.heard(("c", 1), 1000.0)
    book.look(1059.0)
    assert closed == ["b"]
    book.look(1061.0)
    assert closed == ["b", "c"]
    book.turn(("a", 1), "head", 2000.0)
    book.look(2011.0)
    assert closed == ["b", "c", "a"]
    late = Connection(lambda: None, heard=99.0, state="leftover", since=90.0)
    assert late.is_late(96.0) and BACKLOG < 64


def test_open_to_all_a_server_answers_to_addresses_but_not_to_any_name() -> None:
    names = guard.names_of("0.0.0.0", "Box", ["nas.lan"])
    for host in ("192.168.1.9:7860", "[fe80::1]:7860", "box:7860", "localhost", "NAS.lan:1"):
        assert guard.refusal("GET", host, None, names) is None, host
    assert guard.refusal("GET", "evil.example", None, names)
    one = guard.names_of("192.168.1.9", "Box")
    assert guard.refusal("GET", "192.168.1.9:7860", None, one) is None
    assert guard.refusal("GET", "10.0.0.1:7860", None, one)


def test_a_port_is_taken_from_the_moment_it_is_listened_on() -> None:
    with addresses.listen("127.0.0.1", 0) as listener:
        with pytest.raises(InputError, match=r"in use.*choose another --port"):
            addresses.listen("127.0.0.1", listener.getsockname()[1])
        assert addresses.is_loopback(listener)
        assert len(addresses.addresses_of(listener)) == 1
    with addresses.listen("0.0.0.0", 0) as listener:
        assert not addresses.is_loopback(listener)
        found = addresses.addresses_of(listener)
        assert found[0].startswith("http://localhost:")
        assert not any("0.0.0.0" in one or "127.0.0" in one for one in found)
        with socket.create_connection(listener.getsockname()):
            pass


def test_a_host_of_another_machine_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.1"):
        addresses.listen("192.0.2.1", 0)


def test_heads_that_are_none_get_400(server: Server) -> None:
    for head in (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as one:
            try:
                one.sendall(head)
                answer = one.recv(1000)
            except ConnectionError:  # what was too long was cut off
                answer = b""
        assert answer[:12] in (b"HTTP/1.1 400", b""), head[:80]
    assert server.jobs() == {}


def test_parts_of_a_file_are_never_more_than_the_file(server: Server) -> None:
    key = server.upload("cup.png", b"pixels" * 300)
    server.ended(key)
    whole = server.api("GET", f"/jobs/{key}/v1/mesh.glb").body
    for asked, status, body in (
        ("bytes=0-3", 206, whole[:4]), ("bytes=1800-", 206, whole[1800:]),
        ("bytes=-5", 206, whole[-5:]), ("bytes=9-2", 400, None), ("bytes=99999-", 416, None),
        ("lines=1-2", 400, None),
    ):  # fmt: skip
        answer = server.api("GET", f"/jobs/{key}/v1/mesh.glb", Range=asked)
        assert answer.status == status and (body is None or answer.body == body), asked
    many = "bytes=" + ",".join(f"{n}-" for n in range(800))
    answer = server.api("GET", f"/jobs/{key}/v1/mesh.glb", Range=many)
    assert len(answer.body) < 2 * len(whole)


def test_deadlines_end_whoever_dawdles_or_goes_on_sending(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEADER_SECONDS", "SILENT_SECONDS", "LEFTOVER_SECONDS"):
        monkeypatch.setattr(connections, name, 0.2)
    post = b"POST /api/v1/jobs?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    chunks = post + b"Transfer-Encoding: chunked\r\n\r\n"
    for begins, goes_on in (
        (b"GET / HTTP/1.1\r\nHost: ", b""),
        (post + b"Content-Length: 99\r\n\r\nx", b""),
        # Far more than is taken, without end: answered, and then no longer read.
        (chunks, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as one:
            one.sendall(begins)
            one.settimeout(None if not goes_on else 0.05)
            while True:
                try:
                    if goes_on:
                        one.sendall(goes_on)
                    if not one.recv(4096):
                        break
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
    assert server.jobs() == {} and not list(server.root.rglob("*.part"))
    assert server.get("/").status == 200
