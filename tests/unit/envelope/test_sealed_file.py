"""Files are sealed and opened whole; what does not open leaves nothing behind."""

import os
import stat
from pathlib import Path

import pytest
from parley_envelope import DataKey, SealError, new_data_key, open_file, seal_file
from parley_envelope.segments import SEGMENT_BYTES

KEY = new_data_key()
NAME = ("backup", "2026-01-31", "memory.db")
MARK = b"what nobody is to read "


def key_of(key_id: str) -> DataKey:
    if key_id != KEY.id:
        raise SealError("no such key")
    return KEY


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "memory.db"
    path.write_bytes(MARK * 9000)
    return path


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES, 5 * SEGMENT_BYTES + 3])
def test_a_file_comes_back_as_it_was(tmp_path: Path, size: int) -> None:
    source, stored, back = tmp_path / "a", tmp_path / "a.sealed", tmp_path / "b"
    source.write_bytes(os.urandom(size))
    seal_file(source, stored, KEY, NAME)
    open_file(stored, back, key_of, NAME)
    assert back.read_bytes() == source.read_bytes()


def test_what_is_sealed_shows_nothing_and_is_its_users_alone(plain: Path, tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    seal_file(plain, stored, KEY, NAME)
    assert MARK not in stored.read_bytes()
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memory.db", "stored"]


@pytest.mark.parametrize("fault", ["flipped", "cut", "longer", "renamed", "other-key", "plain"])
def test_a_file_that_does_not_open_writes_nothing(plain: Path, tmp_path: Path, fault: str) -> None:
    stored, back = tmp_path / "stored", tmp_path / "back"
    seal_file(plain, stored, new_data_key() if fault == "other-key" else KEY, NAME)
    raw = bytearray(stored.read_bytes())
    raw[-1] ^= 1
    changed = {"flipped": bytes(raw), "cut": bytes(raw[:-70000]), "longer": bytes(raw) + b"x"}
    stored.write_bytes(changed.get(fault, stored.read_bytes()) if fault != "plain" else MARK * 9000)
    back.write_bytes(b"what was there")
    with pytest.raises(SealError):
        open_file(stored, back, key_of, ("backup", "2026-02-01", "memory.db") if fault == "renamed" else NAME)
    assert back.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "memory.db", "stored"]
