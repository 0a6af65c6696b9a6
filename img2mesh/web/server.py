"""Opens the address, prints it, and serves until it is interrupted."""

from __future__ import annotations

import json
import secrets
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from img2mesh import multiview
from img2mesh.core.runtime import ROOMY
from img2mesh.errors import InputError, missing_extra
from img2mesh.io.glb_container import version
from img2mesh.io.photos import SUFFIXES
from img2mesh.jobs.request import Request, generator_of
from img2mesh.web import addresses, clerk, connections, guard, items, places, uploads
from img2mesh.web.desk import Desk
from img2mesh.web.queue import Queue
from img2mesh.web.wishes import Wishes
from img2mesh.worker import task

_SHUTDOWN_SECONDS = 2  # that an answer under way gets when the server ends
#: Pictures of a checkout that the page offers to try.
_EXAMPLES = ("robot.png", "dahlia.jpg", "vase.png", "rocket.jpg")


def serve(
    request: Request,
    output_dir: Path,
    *,
    host: str,
    port: int,
    allow_host: Sequence[str] = (),
    open_page: bool = False,
    as_json: bool = False,
    verbose: bool = False,
) -> None:
    """Serve until Ctrl-C.

    Raises:
        InputError: the address or the folder cannot be used; the extra is not installed.
        SystemExit: interrupted, code 130.
    """
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise missing_extra(
            error.name or "starlette", extra="web", purpose="img2mesh serve"
        ) from None
    root = _usable(output_dir)
    connections.more_descriptors()
    listener = addresses.listen(host, port)
    token = None if addresses.is_loopback(listener) else secrets.token_urlsafe(18)
    state = root / places.STATE_FOLDER
    number = listener.getsockname()[1]
    places.sweep(state)
    wishes = Wishes(request)
    queue = queue_of(wishes, root, log=state / f"worker-{number}.log", past=places.past(root))
    names = guard.names_of(host, socket.gethostname(), allow_host)
    app = app_of(queue, wishes, request, root, names=names, token=token)
    book = connections.Connections(connections.places())
    config = uvicorn.Config(
        connections.watched(app, book),
        log_level="info" if verbose else "warning",
        http=connections.protocol(book),
        ws="none",
        lifespan="off",
        loop="asyncio",
        backlog=connections.BACKLOG,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    opened = _tell(listener, root, host, token, as_json=as_json)
    if open_page:
        _show(opened)
    server = uvicorn.Server(config)
    connections.with_long_queue(server, listener)
    # uvicorn raises the signal anew once it has ended; what is ours ends first.
    with _closing(server, queue):
        server.run(sockets=[listener])
    sys.exit(130)


class _closing:
    """Ends the workers and says goodbye before uvicorn hands its signal on."""

    def __init__(self, server: Any, queue: Queue) -> None:
        self._queue = queue
        self._shutdown = server.shutdown
        server.shutdown = self._last

    async def _last(self, *arguments: Any, **more: Any) -> None:
        await self._shutdown(*arguments, **more)
        self._end()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._end()
        return kind is not None and issubclass(kind, KeyboardInterrupt)

    def _end(self) -> None:
        if self._queue.close():
            sys.stderr.write("img2mesh: interrupted; finished stages are kept in the cache\n")


def queue_of(
    wishes: Wishes,
    root: Path,
    *,
    log: Path,
    past: tuple[items.Item, ...] = (),
    function: str = task.FUNCTION,
    desk: str = clerk.FUNCTION,
    environment: Mapping[str, str] | None = None,
) -> Queue:
    """The queue of a server with these settings."""
    told = {**ROOMY, **(environment or {})}
    return Queue(
        function,
        wishes.task,
        Desk(desk, environment=told, log=log.with_name(f"desk-{log.name}")),
        root,
        environment=told,
        log=log,
        stages=tuple(wishes.about()["stages"]),
        past=past,
    )


def app_of(
    queue: Queue,
    wishes: Wishes,
    request: Request,
    root: Path,
    *,
    names: guard.Names,
    token: str | None = None,
    limit: int = uploads.LIMIT,
    disk: int = places.DISK,
) -> guard.App:
    """The web app of a server with these settings."""
    from img2mesh.web.api import life
    from img2mesh.web.app import application

    generator = generator_of(request.settings)
    examples = _examples()
    about = {
        "life": life(),
        "version": version(),
        "drawn_by": items.drawn_by(
            generator,
            learned=generator != "geometric",
            licences=multiview.licences(generator),
        ),
        "output_dir": str(root),
        "suffixes": sorted(SUFFIXES),
        "examples": sorted(examples),
    }
    return application(
        queue, wishes, root, about, names,
        token=token, limit=limit, disk=disk, examples=examples,
    )  # fmt: skip


def _examples() -> dict[str, Path]:
    folder = Path(__file__).parent.parent.parent / "data"
    return {name: folder / name for name in _EXAMPLES if (folder / name).is_file()}


def _tell(
    listener: socket.socket, root: Path, host: str, token: str | None, *, as_json: bool
) -> str:
    """Print where the page is; the address to open here."""
    found = addresses.addresses_of(listener)
    if token is not None:
        found = [f"{address}?t={token}" for address in found]
        sys.stderr.write(
            "img2mesh: warning: others on the network reach this server; whoever has one of these "
            "addresses can use this machine and see what was made; leave --host out to keep it "
            "to yourself\n"
        )
    elif host not in ("127.0.0.1", "localhost", "::1"):
        sys.stderr.write(
            f"img2mesh: {host} leads to this machine alone; --host 0.0.0.0 lets others in, "
            f"--allow-host {host} has it called so\n"
        )
    ready = {"address": found[0], "addresses": found, "token": token, "output_dir": str(root)}
    sys.stdout.write((json.dumps(ready) if as_json else "\n".join(found)) + "\n")
    sys.stdout.flush()
    sys.stderr.write(f"img2mesh: meshes go to {root}; Ctrl-C ends\n")
    return found[0]


def _usable(output_dir: Path) -> Path:
    root = output_dir.resolve()
    try:
        (root / places.STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write to the output folder {root}: {error.strerror}; choose another -o"
        ) from error
    return root


def _show(address: str) -> None:
    import webbrowser

    # A browser of the terminal would keep the server waiting.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
