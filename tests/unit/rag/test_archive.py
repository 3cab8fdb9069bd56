from io import BytesIO

import pytest
from parley_rag.load.archive import Archive, Budget, RefusedEntry, safe_name
from parley_rag.load.limits import ReadLimits

from tests.unit.rag.office_files import zipped


def test_a_name_is_a_relative_path_without_surprises() -> None:
    assert safe_name("./a//b\\c.txt") == "a/b/c.txt"
    for name in ("", ".", "//x", "..", "a/..", "\x00", "c:x", "\ud800"):
        with pytest.raises(RefusedEntry):
            safe_name(name)


def test_what_is_unpacked_is_counted_not_believed() -> None:
    budget = Budget(ReadLimits(inflated_bytes=100_000))
    archive = Archive(BytesIO(zipped({"a": b"ab" * 30_000, "b": b"cd" * 30_000})), budget)
    assert archive.read("a") == b"ab" * 30_000
    with pytest.raises(RefusedEntry, match="larger"):
        archive.read("b")
    assert budget.bytes_left == 40_000
