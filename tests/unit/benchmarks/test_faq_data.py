"""The questions of the FAQ must not stand in the texts that they have to find."""

from pathlib import Path

from benchmarks.faq_data import read_faq

FILLER = "Words fill the section until it is long enough to be asked for by anybody at all. " * 2
PAGE = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "x.dtd"><html><body>
<div class="navheader">Chapter 1. Rests</div>
<div class="section"><div class="titlepage"><h2>1.1. Who rests?</h2></div><p>{FILLER}Cats do, see
<a class="xref" href="#x">Section 1.2, What works?</a></p>
<div class="section"><div class="titlepage"><h3>1.1.1. For how long?</h3></div>
<p>{FILLER}All day.</p></div></div>
<div class="section"><div class="titlepage"><h2>1.2. What works?</h2></div><p>Nothing.</p></div>
</body></html>"""


def test_sections_are_read_without_headings_references_and_inner_sections(tmp_path: Path) -> None:
    folder = tmp_path / "debian-faq-de"
    folder.mkdir()
    (folder / "basic.de.html").write_text(PAGE, encoding="utf-8")
    sections = {section.question: section.text for section in read_faq("de", tmp_path)}
    assert list(sections) == ["For how long?", "Who rests?"]  # the third is too short
    assert sections["For how long?"] == f"{FILLER}All day."
    assert sections["Who rests?"] == f"{FILLER}Cats do, see"
