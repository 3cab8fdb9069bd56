"""The Debian FAQ in several languages: questions, and the sections that answer them."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bs4 import BeautifulSoup, Tag

# Code, as in the names of packages and files, to the language that words are cut in.
LANGUAGES = {
    "en": "english",
    "de": "german",
    "fr": "french",
    "it": "italian",
    "nl": "dutch",
    "ru": "russian",
}
_DOWNLOAD_S = 120
_LEAST_WORDS = 20
_NUMBER = re.compile(r"^[\d.\s]+")


@dataclass(frozen=True, slots=True)
class Section:
    """A section without its heading, which is the question."""

    question: str
    text: str


def missing() -> str | None:
    """Return what keeps this machine from getting the packages; None when nothing does."""
    absent = (tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None)
    return next((f"{tool} is not on this machine" for tool in absent), None)


def read_faq(code: str, folder: Path) -> list[Section]:
    """Return the sections in a language; the package is downloaded into `folder` and not installed."""
    package = "debian-faq" if code == "en" else f"debian-faq-{code}"
    root = folder / package
    if not root.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "--quiet", "download", package], folder)
        archive = next(folder.glob(f"{package}_*.deb"))
        _run(["dpkg-deb", "--extract", str(archive), str(root)], folder)
    pages = sorted(root.rglob(f"*.{code}.html"))
    return [section for page in pages for section in _sections(page.read_bytes())]


def _sections(page: bytes) -> Iterator[Section]:
    soup = BeautifulSoup(page[page.index(b"<!DOCTYPE") :], "lxml")  # before it is what says XML of HTML
    # A reference is made of the heading that it leads to, which would give that section's words to this one.
    for tag in soup.select("a.xref, div.toc, div.navheader, div.navfooter"):
        tag.decompose()
    for section in reversed(soup.select("div.section")):  # the inner ones first
        title = section.select_one("div.titlepage")
        question = _words(title) if title else ""
        if title:
            title.decompose()
        text = _words(section)
        section.decompose()
        if len(text.split()) >= _LEAST_WORDS:
            yield Section(_NUMBER.sub("", question), text)


def _words(tag: Tag) -> str:
    return " ".join(tag.get_text(" ").split())


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
