from email.message import EmailMessage
from pathlib import Path

import pytest
from parley_rag.load.extraction import BlockKind, Extraction, Metadata
from parley_rag.load.limits import ReadLimits
from parley_rag.load.loaders import load
from parley_rag.load.mail import attachments
from parley_rag.load.members import unpack
from parley_rag.load.sniff import DocumentKind

from tests.unit.rag.office_files import mail_file

CREATED_MS = 1714557600000  # 2024-05-01 10:00 UTC


def blocks(extraction: Extraction) -> list[tuple[str, str]]:
    return [(block.kind.value, extraction.text[block.start : block.end]) for block in extraction.blocks]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_separated_values_are_a_table_with_a_header(delimiter: str) -> None:
    rows = [["Part", "Price"], ["Seal, big", "4"], ['Valve "B"', "12"]]
    text = "\r\n".join(
        delimiter.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in rows
    )
    kind, read = load(text.encode(), "parts.csv")
    assert kind is DocumentKind.CSV
    assert blocks(read) == [("table", 'Part | Price\nSeal, big | 4\nValve "B" | 12')]
    assert read.blocks[0].header == "Part | Price"


def test_json_reads_as_values_with_their_paths_an_object_of_a_list_in_a_block() -> None:
    data = b"""{"name": "Pump", "ok": true, "tags": ["a", "b"], "none": null,
        "parts": [{"id": 1, "size": {"mm": 4}}, {"id": 2, "uses": [[1], [2]]}]}"""
    kind, read = load(data, "pump.json")
    assert kind is DocumentKind.JSON
    assert read.title == "Pump"
    assert blocks(read) == [
        ("lines", "name: Pump\nok: true"),
        ("lines", "a, b"),
        ("lines", "id: 1\nsize.mm: 4"),
        ("lines", "id: 2\nuses[0]: 1\nuses[1]: 2"),
    ]
    assert [block.headings for block in read.blocks] == [(), ("tags",), ("parts",), ("parts",)]


def test_json_lines_that_are_none_stay_as_they_are() -> None:
    kind, read = load('{"id": "1\u2028a"}\r\n\nnot json\n[2, 3]\n'.encode(), "log.jsonl")
    assert kind is DocumentKind.JSON_LINES
    assert blocks(read) == [("lines", "id: 1\na"), ("lines", "not json"), ("lines", "2, 3")]


def test_json_with_comments_is_read_as_text() -> None:
    _, read = load(b'// settings\n{"a": 1}', "tsconfig.json")
    assert read.text == '// settings\n{"a": 1}'


def test_an_e_mail_tells_who_wrote_what_and_that_something_is_attached() -> None:
    kind, read = load(mail_file("Oil the pump.\n\nAda", {"plan.txt": b"words"}), "a.eml")
    assert kind is DocumentKind.MAIL
    assert read.title == "The pump"
    assert read.has_members
    assert read.text.startswith("From: Ada Lovelace <ada@example.org>\nTo: Charles <charles@example.org>")
    assert ("paragraph", "Oil the pump.") in blocks(read)
    assert "words" not in read.text
    assert read.metadata == Metadata("Ada Lovelace <ada@example.org>", None, CREATED_MS, None)


def test_an_e_mail_is_known_by_its_headers_and_read_as_html_where_it_has_no_text() -> None:
    mail = (
        b"Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\nSubject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=latin-1\r\n\r\n<p>Dry <b>it</b> \xfc.</p>"
    )
    kind, read = load(mail, "unnamed")
    assert kind is DocumentKind.MAIL
    assert read.title == "Größe"
    assert ("paragraph", "Dry it ü.") in blocks(read)
    assert not read.has_members


def test_a_forwarded_e_mail_is_attached_whole() -> None:
    inner = mail_file("Inner words.", {})
    outer = (
        b"From: a@b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=X\n\n"
        b"--X\nContent-Type: text/plain\n\nOuter.\n--X\nContent-Type: message/rfc822\n\n"
        + inner
        + b"\n--X--\n"
    )
    _, read = load(outer, "a.eml")
    assert "Outer." in read.text
    assert "Inner" not in read.text
    ((name, content),) = attachments(outer)
    assert name == "message-1.eml"
    assert b"Inner words." in content


def test_a_forwarded_e_mail_with_odd_headers_harms_nothing_beside_it(tmp_path: Path) -> None:
    odd = b"From: " + b"(" * 9000 + b"\nMessage-ID: <" + b"[" * 5000 + b"\n\nInner words.\n"
    parts = (b"Content-Type: message/rfc822\n\n" + odd, b"Content-Type: x/y; name=a.txt\n\nwords\n")
    mail = (
        b"From: a@b\nContent-Type: multipart/mixed; boundary=X\n\n--X\n" + b"--X\n".join(parts) + b"--X--\n"
    )
    members = unpack(mail, "a.eml", ReadLimits(), tmp_path)
    assert [(member.name, member.error) for member in members] == [("message-1.eml", None), ("a.txt", None)]
    assert b"Inner words." in (tmp_path / "000000").read_bytes()


def test_attachments_of_one_name_are_told_apart(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["From"] = "a@b"
    for words in (b"one", b"two", b"three"):
        mail.add_attachment(words, maintype="text", subtype="x", filename="plan.txt")
    members = unpack(mail.as_bytes(), "a.eml", ReadLimits(), tmp_path)
    assert [member.name for member in members] == ["plan.txt", "plan (2).txt", "plan (3).txt"]


CODE = b'''#!/usr/bin/env python
"""Pumps."""

import os


@cached
def boil(water):
    heat(water)

    return water


class Pump:
    """Moves water."""

    def start(self):
        pass
'''


def test_source_code_is_kept_as_it_is_with_a_block_for_each_definition() -> None:
    kind, read = load(CODE, "pump.py")
    assert kind is DocumentKind.SOURCE_CODE
    assert read.text == CODE.decode()
    assert [block.kind for block in read.blocks] == [BlockKind.CODE] * 4
    assert [block.header for block in read.blocks[2:]] == ["def boil(water):", "class Pump:"]
    assert read.text[read.blocks[3].start :].startswith("class Pump:\n")


def test_documents_say_who_wrote_them_when_and_in_which_language() -> None:
    page = b"""<html lang="de-AT"><head><meta name="author" content="Ada">
        <meta property="article:published_time" content="2024-05-01T10:00:00Z">
        <meta property="article:modified_time" content="nonsense"></head><p>Pumpe.</p></html>"""
    _, read = load(page, "a.html")
    assert read.metadata == Metadata("Ada", "de-AT", CREATED_MS, None)
    _, read = load(b"---\nauthor: 'Ada'\ndate: 2024-05-01T12:00:00+02:00\nlang: no such!\n---\nPump.", "a.md")
    assert read.metadata == Metadata("Ada", None, CREATED_MS, None)


def test_a_date_that_cannot_be_is_none() -> None:
    _, read = load(b"From: Ada\nDate: 1 May 2024 00:00:00 +9999999999999999\n\nOil it.", "a.eml")
    assert read.metadata == Metadata("Ada")


def test_a_program_that_names_the_header_of_pdf_is_no_pdf() -> None:
    assert load(b'MAGIC = "%PDF-"\n', "a.py")[0] is DocumentKind.SOURCE_CODE
