"""What the documents say about the code is generated from it, or checked against it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from recsys import flow
from recsys.errors import ConfigError
from recsys.events.mapping import load_mapping

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def test_the_readme_shows_the_flow_as_it_is() -> None:
    assert flow.diagram() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_link_inside_the_project_leads_somewhere() -> None:
    links = {(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text("utf-8"))}
    assert len(links) > 5
    assert sorted(f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()) == []


def test_every_job_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    jobs = [path.name for path in (ROOT / "jobs").glob("*.py") if path.stem not in {"__init__", "demo"}]
    assert [job for job in jobs if f"`jobs/{job}`" not in text] == []


def test_the_example_mapping_is_a_mapping(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "sources.md").read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    assert load_mapping(str(file)).behaviours["like"].weight == 2
    file.write_text(text.replace("price:", "prise:"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"shop\.yaml: prise.*'price'"):
        load_mapping(str(file))


def test_nothing_names_a_home_or_a_work_folder() -> None:
    files = [path for pattern in ("*.py", "*.md", "*.yaml", "*.toml") for path in ROOT.rglob(pattern)]
    kept = [path for path in files if not {".venv", ".cache", "demo", "build"} & set(path.relative_to(ROOT).parts)]
    here = "" if str(ROOT.parent) == tempfile.gettempdir() else "|" + re.escape(str(ROOT.parent)) + "/"
    named = re.compile("/" + "root/|/" + "home/" + here)
    assert [str(path) for path in kept if named.search(path.read_text(encoding="utf-8"))] == []
