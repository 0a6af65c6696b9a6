"""Files to check, the clients that check them, and the record of what came out.

``make test-clients`` prepares all of it; by hand:
``pytest tests/clients --assets FOLDER [--record PAGE.md]`` with FOLDER holding one output folder of
``img2mesh run`` an asset. The clients are in ``.venv-clients`` (``scripts/setup_clients.sh``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clients.record import Check, write_record
from tests.clients.stated import Stated, read

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
CLIENTS = Path(os.environ.get("IMG2MESH_CLIENTS", ROOT / ".venv-clients"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 1200  # seconds for one client's process; software rendering on a busy machine is slow

CHECKS = pytest.StashKey[list[Check]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--assets", type=Path, help="folder of output folders of img2mesh run")
    parser.addoption("--record", type=Path, help="write the table of results to this page")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHECKS] = []


def folders_of(config: pytest.Config) -> list[Path]:
    """The assets: output folders of ``img2mesh run``."""
    root = config.getoption("--assets")
    folders = sorted(p.parent for p in root.glob("*/mesh.glb")) if root is not None else []
    if not folders:
        raise pytest.UsageError(
            f"--assets must name a folder that img2mesh run has written into, got {root}; "
            "make test-clients prepares one"
        )
    return folders


def files_of(config: pytest.Config, *suffixes: str) -> list[Path]:
    """Every mesh file of the assets with one of the suffixes."""
    return [p for f in folders_of(config) for p in sorted(f.iterdir()) if p.suffix in suffixes]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "folder" in metafunc.fixturenames:
        metafunc.parametrize("folder", folders_of(metafunc.config), ids=lambda p: p.name)
    for name, suffixes in (("glb", [".glb"]), ("sibling", [".obj", ".usdz"])):
        if name in metafunc.fixturenames:
            files = files_of(metafunc.config, *suffixes)
            metafunc.parametrize(name, files, ids=name_of)
    if "relief" in metafunc.fixturenames:
        files = [p for p in files_of(metafunc.config, ".glb") if read(p).has("normalTexture")]
        metafunc.parametrize("relief", files, ids=name_of)


def name_of(path: Path) -> str:
    """Folder and name of a file."""
    return f"{path.parent.name}/{path.name}"


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest) -> Path:
    """Where pictures to look at go: a client's above our own."""
    folder: Path = request.config.getoption("--assets") / "clients"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def stated(glb: Path) -> Stated:
    return read(glb)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


def ask(*command: str | Path, **more: Any) -> dict[str, Any]:
    """Run a client's process; the JSON in the last line of its output."""
    answer = subprocess.run(
        [str(c) for c in command], capture_output=True, timeout=PATIENCE, check=False, **more
    )
    text = answer.stdout.decode(errors="replace")
    assert answer.returncode == 0, text[-2000:] + answer.stderr.decode(errors="replace")[-4000:]
    return json.loads(text.strip().splitlines()[-1])


class Blender:
    """Blender's importers, one process a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[dict[str, Any], dict[str, np.ndarray]]] = {}

    def read(self, path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What arrived: facts and arrays, see ``blender_import.py``; in Blender's axes."""
        if path not in self._seen:
            out = self._folder / f"{len(self._seen)}.npz"
            about = ask(CLIENTS / "bin" / "python", HERE / "blender_import.py", path.resolve(), out)
            with np.load(out, allow_pickle=False) as arrays:
                self._seen[path] = about, dict(arrays)
        return self._seen[path]


@pytest.fixture(scope="session")
def blender(workplace: Path) -> Blender:
    folder = workplace / "blender"
    folder.mkdir()
    return Blender(folder)


class Browser:
    """Headless Chromium, started once for any number of jobs; answers in the order asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def draw(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Carry out jobs as ``browser.py`` describes them; each answer names its pictures."""
        program = next((p for n in BROWSERS if (p := shutil.which(n))), None)
        assert program, "no Chromium; run scripts/setup_clients.sh"
        for job in jobs:
            job["out"] = str(self._folder / f"{job['with']}-{len(list(self._folder.iterdir()))}")
            Path(job["out"]).mkdir()
        file = Path(jobs[0]["out"]).with_suffix(".json")
        three = CLIENTS / "node_modules" / "three"
        file.write_text(json.dumps({"chromium": program, "three": str(three), "jobs": jobs}))
        answer = ask(CLIENTS / "bin" / "python", HERE / "browser.py", file)
        return [{**a, "chromium": answer["chromium"]} for a in answer["answers"]]


@pytest.fixture(scope="session")
def browser(workplace: Path) -> Browser:
    folder = workplace / "browser"
    folder.mkdir()
    return Browser(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or report.outcome == "failed":
        figures = dict(report.user_properties)
        document = item.function.__doc__ or item.name
        item.config.stash[CHECKS].append(
            Check(
                client=figures.pop("client", "none"),
                checked=document.strip().splitlines()[0],
                file=item.name.partition("[")[2].rstrip("]"),
                outcome=report.outcome,
                reason=report.longrepr[2] if report.skipped else str(report.longrepr or ""),
                figures=figures,
            )
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    checks = session.config.stash[CHECKS]
    root, page = (session.config.getoption(name) for name in ("--assets", "--record"))
    if checks and root is not None:
        write_record(checks, json_file=Path(root) / "clients.json", page=page)
