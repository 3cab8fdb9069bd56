"""`parley audit verify` as its users meet it: a whole export, a broken one, and what is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from parley_cli.app import build_app
from parley_contracts.audit import AnchorKind, AuditRow
from parley_identity import published
from parley_identity.audit_chain import FIRST_PREV_HASH, AnchorSigner, row_hash
from parley_identity.export_bounds import Link, sign_bounds
from typer.testing import CliRunner, Result

WORDS = ["audit", "verify"]
SIGNER = AnchorSigner("parley:test", "kid1", Ed25519PrivateKey.generate())
KEY = published("kid1", SIGNER.key.public_key())


def rows(count: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    prev_hash = FIRST_PREV_HASH
    for seq in range(1, count + 1):
        texts = {name: "x" for name, field in AuditRow.model_fields.items() if field.annotation is str}
        fields: dict[str, Any] = {
            **texts,
            "seq": seq,
            "at_ms": 1,
            "recorded_at_ms": 1,
            "prev_hash": prev_hash,
        }
        prev_hash = row_hash(prev_hash, fields)
        made.append({**fields, "hash": prev_hash})
    return made


def export(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = made[-1]
    anchor = SIGNER.sign(AnchorKind.HEAD, last["seq"], last["hash"], 1)
    bounds = sign_bounds(SIGNER, Link(0, FIRST_PREV_HASH), Link(last["seq"], last["hash"]), last["seq"], 1)
    return [
        {
            "type": "audit_export",
            "installation": SIGNER.installation,
            "key": KEY.model_dump(),
            "bounds": bounds.model_dump(),
            "head_seq": last["seq"],
            "head_hash": last["hash"],
        },
        anchor.model_dump(mode="json"),
        *made,
        {"type": "audit_export_end", "last_seq": last["seq"], "is_whole": True},
    ]


def verify(folder: Path, lines: list[dict[str, Any]], *options: str) -> Result:
    path = folder / "export.ndjson"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return CliRunner().invoke(
        build_app(WORDS), [*WORDS, "--file", str(path), *options], env={"COLUMNS": "300"}
    )


def test_a_whole_export_is_said_to_be_whole(tmp_path: Path) -> None:
    done = verify(tmp_path, export(rows(4)), "--key", KEY.x)
    assert done.exit_code == 0, done.stderr
    assert "4 rows from the oldest up to the end are as they were written; signed up to row 4" in done.stdout


def test_the_key_may_be_given_as_the_export_names_it(tmp_path: Path) -> None:
    lines = export(rows(2))
    assert verify(tmp_path, lines, "--key", json.dumps(lines[0]["key"])).exit_code == 0


@pytest.mark.parametrize("key", ["nonsense", "{}", '{"x": 5}', "*" * 43])
def test_what_is_no_key_is_told_from_another_key(tmp_path: Path, key: str) -> None:
    done = verify(tmp_path, export(rows(2)), "--key", key)
    assert done.exit_code == 1
    assert "That is no public key" in done.stderr


def test_programs_are_told_the_same(tmp_path: Path) -> None:
    told = json.loads(verify(tmp_path, export(rows(2)), "--json").stdout)
    assert (told["rows"], told["is_whole"], told["key"]) == (2, True, KEY.x)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (slice(3, None), "broken at row 1: unlinked"),
        (slice(2, -1), "broken at row 4: cut"),
        (slice(2, 2), "broken at row 1: cut"),
    ],
    ids=["the first", "the last", "all"],
)
def test_rows_that_are_missing_at_an_end_show(tmp_path: Path, kept: slice, words: str) -> None:
    head, anchor, *made, end = export(rows(4))
    lines = [head, *([anchor] if words.endswith("unlinked") else []), *[None, None, *made][kept], end]
    done = verify(tmp_path, [line for line in lines if line])
    assert done.exit_code == 1
    assert words in done.stderr


@pytest.mark.parametrize(
    "changed",
    [
        {"bounds": None},
        {"bounds": {"last_seq": 3}},
        {"bounds": {"first_seq": 2}},
        {"bounds": {"head_seq": 3}},
    ],
    ids=["none", "another end", "another beginning", "another head"],
)
def test_ends_that_nobody_signed_are_not_believed(tmp_path: Path, changed: dict[str, Any]) -> None:
    lines = export(rows(4))
    bounds = changed["bounds"]
    lines[0]["bounds"] = bounds and {**lines[0]["bounds"], **bounds}
    done = verify(tmp_path, lines, "--key", KEY.x)
    assert done.exit_code == 1
    assert ("unsigned" if bounds is None else "bad_signature") in done.stderr


@pytest.mark.parametrize("left", [1, 3, 5, 6], ids=["the head", "a row", "no last line", "half of the last"])
def test_a_truncated_file_is_no_export(tmp_path: Path, left: int) -> None:
    path = tmp_path / "export.ndjson"
    texts = [f"{json.dumps(line)}\n" for line in export(rows(4))]
    path.write_text("".join(texts[:left]) + texts[left][:9], encoding="utf-8")
    done = CliRunner().invoke(build_app(WORDS), [*WORDS, "--file", str(path)])
    assert done.exit_code == 1
    assert "cannot be read" in done.stderr


def test_a_broken_export_fails_and_says_where(tmp_path: Path) -> None:
    lines = export(rows(4))
    lines[3]["actor_id"] = "somebody else"
    done = verify(tmp_path, lines)
    assert done.exit_code == 1
    assert "broken at row 2: changed" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--key", "A" * 43), "another key"), ((), "last line is missing")],
    ids=["another key", "cut off"],
)
def test_what_is_not_to_be_believed_is_refused(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    lines = export(rows(2))
    done = verify(tmp_path, lines if options else lines[:-1], *options)
    assert done.exit_code == 1
    assert words in done.stderr


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(build_app(WORDS), [*WORDS, "--file", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "cannot be read" in done.stderr
