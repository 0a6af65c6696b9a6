"""The documentation says what the code does today."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "data" / "README.md"]


def test_the_stages_page_is_the_pipeline_s() -> None:
    spec = importlib.util.spec_from_file_location("stages_doc", ROOT / "scripts/stages_doc.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "stages.md").read_text(encoding="utf-8") == module.page(), (
        "run python scripts/stages_doc.py --write"
    )


def test_every_setting_is_described() -> None:
    from img2mesh.pipeline import PIPELINE

    for stage in PIPELINE.stages.values():
        for name in (*stage.settings, *stage.inputs):
            assert f"{name}:" in stage.doc, f"{stage.name}.{name} has no description"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_page_names_a_machine(page: Path) -> None:
    assert not re.search(r"(^|[^\w.~-])/(root|home|work)/\w", page.read_text(encoding="utf-8"))


def test_the_changelog_has_an_unreleased_section() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
