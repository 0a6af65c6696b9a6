"""Opens the address, prints it, and serves until it is interrupted."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from img2mesh import multiview
from img2mesh.core.runtime import ROOMY
from img2mesh.errors import InputError, missing_extra
from img2mesh.io.photos import SUFFIXES
from img2mesh.jobs.request import OutputOptions, Request, generator_of
from img2mesh.pipeline import PIPELINE
from img2mesh.web import guard, items, uploads
from img2mesh.web.queue import Queue
from img2mesh.worker import task

#: Beside the output folders: photos as they came, and what the worker's libraries print.
STATE_FOLDER = ".serve"
_SHUTDOWN_SECONDS = 2  # that an answer under way gets when the server ends


def serve(
    request: Request,
    output_dir: Path,
    *,
    host: str,
    port: int,
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
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise missing_extra(
            error.name or "starlette", extra="web", purpose="img2mesh serve"
        ) from None
    root = _usable(output_dir)
    listener = listen(host, port)
    address = address_of(listener)
    log = root / STATE_FOLDER / f"worker-{listener.getsockname()[1]}.log"
    queue = queue_of(request, root, log=log)
    app = app_of(queue, request, root, names=guard.names_of(host, socket.gethostname()))
    config = uvicorn.Config(
        app,
        log_level="info" if verbose else "warning",
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    if not is_loopback(listener):
        sys.stderr.write(
            f"img2mesh: warning: everybody who reaches {address} can use this machine and see "
            "what was made; leave --host out to keep it to yourself\n"
        )
    ready = {"address": address, "output_dir": str(root)}
    sys.stdout.write((json.dumps(ready) if as_json else address) + "\n")
    sys.stdout.flush()
    sys.stderr.write(f"img2mesh: meshes go to {root}; Ctrl-C ends\n")
    if open_page:
        _show(address)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        queue.close()
    sys.stderr.write("img2mesh: interrupted; finished stages are kept in the cache\n")
    sys.exit(130)


def queue_of(
    request: Request,
    output_dir: Path,
    *,
    log: Path,
    function: str = task.FUNCTION,
    environment: Mapping[str, str] | None = None,
) -> Queue:
    """The queue of a server with these settings."""
    payload = task.encode(request, OutputOptions()) | {"output_dir": str(output_dir)}
    return Queue(function, payload, environment={**ROOMY, **(environment or {})}, log=log)


def app_of(
    queue: Queue,
    request: Request,
    output_dir: Path,
    *,
    names: guard.Names,
    limit: int = uploads.LIMIT,
) -> guard.App:
    """The web app of a server with these settings."""
    from img2mesh.web.app import application

    generator = generator_of(request.settings)
    about = {
        "drawn_by": items.drawn_by(
            generator,
            learned=generator != "geometric",
            licences=multiview.licences(generator),
        ),
        "preset": request.preset,
        "output_dir": str(output_dir),
        "stages": [*PIPELINE.order, "files"],
        "suffixes": sorted(SUFFIXES),
    }
    return application(queue, output_dir / STATE_FOLDER, about, names, limit=limit)


def listen(host: str, port: int) -> socket.socket:
    """A socket that others can reach from now on.

    Raises:
        InputError: the port is taken, or the host is not one of this machine's.
    """
    listener = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        # At once: only then does a second server notice that the port is taken.
        listener.listen(128)
    except (OSError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        cause = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen on {host}, port {port}: {cause}; choose another --port (0 takes a free "
            "one) or a --host of this machine"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """What to open in a browser."""
    host, port = listener.getsockname()[:2]
    # Everywhere is nowhere to go to: from here, localhost is what leads there.
    host = "localhost" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches the socket."""
    import ipaddress

    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def _usable(output_dir: Path) -> Path:
    root = output_dir.resolve()
    try:
        (root / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write to the output folder {root}: {error.strerror}; choose another -o"
        ) from error
    return root


def _show(address: str) -> None:
    import webbrowser

    # A browser of the terminal would keep the server waiting.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
