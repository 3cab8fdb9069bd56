"""What documents name exists, and nothing names a folder of somebody's machine."""

from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, ours
from tests.architecture.verdict import expect_none
from tests.architecture.written_paths import machine_paths, missing_paths, named_paths

TEXT_FILES = (
    "*.py",
    "*.md",
    "*.toml",
    "*.yaml",
    "*.yml",
    "*.json",
    "*.sh",
    "*.txt",
    "*.html",
    "*.js",
    "*.css",
    "Makefile",
)


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *ours(ROOT / "docs", "*.md")]


def test_every_path_in_the_readme_exists() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md yet")
    text = readme.read_text(encoding="utf-8")
    assert named_paths(text, ROOT), "the README names no file"
    expect_none(missing_paths(text, ROOT))


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    text = "\n".join(line.replace("`", "") for line in path.read_text(encoding="utf-8").splitlines())
    expect_none(missing_paths(text, path.parent))


def test_no_file_names_a_folder_of_a_machine() -> None:
    faults = [
        f"{path.relative_to(ROOT).as_posix()}:{number}: {line}"
        for pattern in TEXT_FILES
        for path in ours(ROOT, pattern)
        for number, line in machine_paths(path.read_text(encoding="utf-8", errors="replace"))
    ]
    expect_none(faults)


def test_paths_that_do_not_exist_are_found(tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "bus.py").write_text("")
    document = """
[bus](libs/bus.py) and [gone](libs/gone.py#part), `libs/bus.py`, `libs/*.py`, `libs/none/*.py`, `lost.md`,
`libs/old/`, [site](https://example.org/x.md),
`GET /v1/models`, `text/html`, `parley up`, `data/secrets/x.json`

```
cat libs/in_a_fence.py
```
"""
    assert missing_paths(document, tmp_path) == ["libs/gone.py", "libs/none/*.py", "libs/old/", "lost.md"]


@pytest.mark.parametrize("folder", ["root", "work", "home/ada"])
def test_a_machine_path_is_found(folder: str) -> None:
    assert list(machine_paths(f"first\nopen('/{folder}/x')")) == [(2, f"open('/{folder}/x')")]


@pytest.mark.parametrize(
    "line", ["/v1/models", "https://example.org/root/x", "services/root/x", "/usr/bin/env"]
)
def test_other_paths_are_fine(line: str) -> None:
    assert list(machine_paths(line)) == []
