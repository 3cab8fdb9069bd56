"""Reading pictures by the `tesseract` program: a stand-in for it on the PATH, which does as it is told."""

import os
import sys
import time
from pathlib import Path

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Recognise
from parley_npu import recognition
from parley_npu.recognition import TextReader

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 20_000

STAND_IN = """#!{python} -I
import os, resource, sys, time
if sys.argv[1] == "--list-langs":
    print('List of available languages in "/usr/share/tessdata/" (3):')
    print("deu\\neng\\nosd")
    raise SystemExit
assert sys.argv[1:4] == ["stdin", "stdout", "-l"], sys.argv
{does}
print("Page", sys.argv[4], len(sys.stdin.buffer.read()), end="\\f")
"""


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is searched for programs; without a program in it as yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, does: str = "") -> None:
    program = folder / "tesseract"
    program.write_text(STAND_IN.format(python=os.path.realpath(sys.executable), does=does), encoding="utf-8")
    program.chmod(0o755)


async def refused(request: Recognise, *, limit_s: float = 20) -> ParleyError:
    with pytest.raises(ParleyError) as error:
        await TextReader(limit_s).recognise(request)
    return error.value


async def test_without_the_program_a_sentence_says_so(on_path: Path) -> None:
    del on_path
    error = await refused(Recognise(image=PNG))

    assert error.code is ErrorCode.UNAVAILABLE
    assert "tesseract is not installed" in error.message


async def test_the_text_of_a_picture_comes_back_in_the_languages_that_are_there(on_path: Path) -> None:
    install(on_path)
    read = await TextReader(20).recognise(Recognise(image=PNG, languages=("deu", "fra", "eng")))

    assert (read.text, read.engine) == (f"Page deu+eng {len(PNG)}", "tesseract")


@pytest.mark.parametrize("language", ["fra", "eng+deu", "../eng", "--psm", "eng\n", ""])
async def test_a_language_that_is_not_listed_never_reaches_the_command_line(
    on_path: Path, language: str
) -> None:
    install(on_path)
    error = await refused(Recognise(image=PNG, languages=(language,)))

    assert error.code is ErrorCode.UNAVAILABLE
    assert "it has deu, eng, osd" in error.message


@pytest.mark.parametrize("image", [b"", b"/etc/passwd\n", b"GIF89a", b"\x89PNG"])
async def test_what_is_no_picture_is_refused_for_it_would_be_read_as_file_names(
    on_path: Path, image: bytes
) -> None:
    install(on_path)

    assert (await refused(Recognise(image=image))).code is ErrorCode.INVALID_REQUEST


async def test_a_program_that_fails_is_an_unreadable_document(on_path: Path) -> None:
    install(on_path, "raise SystemExit(1)")

    assert (await refused(Recognise(image=PNG))).code is ErrorCode.UNREADABLE_DOCUMENT


async def test_a_program_that_takes_too_long_is_ended_with_its_children(on_path: Path) -> None:
    mark = on_path / "late"
    install(on_path, f"os.fork() or (time.sleep(3), open({str(mark)!r}, 'w'))\ntime.sleep(60)")
    began_s = time.monotonic()
    error = await refused(Recognise(image=PNG), limit_s=1)

    assert error.code is ErrorCode.TIMEOUT
    assert time.monotonic() - began_s < 10
    assert not mark.exists()


async def test_a_program_is_held_to_its_limits(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "MEMORY_BYTES", 300 << 20)
    install(on_path, "bytearray(400 << 20)")
    assert (await refused(Recognise(image=PNG))).code is ErrorCode.UNREADABLE_DOCUMENT
    install(on_path, f"open({str(on_path / 'written')!r}, 'wb', 0).write(b'x')")
    assert (await refused(Recognise(image=PNG))).code is ErrorCode.UNREADABLE_DOCUMENT


async def test_a_program_that_writes_without_end_is_stopped(on_path: Path) -> None:
    install(on_path, "while True: sys.stdout.write('x' * 100_000)")

    assert (await refused(Recognise(image=PNG))).code is ErrorCode.UNREADABLE_DOCUMENT
