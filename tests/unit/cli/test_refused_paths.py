"""Files and folders that may not be read: each command says so in one sentence."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parley_cli.owner_secrets import create_secrets
from parley_cli.supervisor.data_folder import prepare_data_folder

SETPRIV = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
"""Root reads everything; without these capabilities it is a user like others."""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Return a data folder with secrets; its mode is given back at the end."""
    folder = tmp_path / "data"
    prepare_data_folder(folder)
    create_secrets(folder / "secrets")
    yield folder
    folder.chmod(0o700)


@pytest.fixture
def run(data_dir: Path, free_port: Callable[[], int]) -> Run:
    """Return a function that runs `parley` as somebody whom file modes bind."""
    unset = ("NATS_URL", "REDIS_URL", "PARLEY_URL", "PARLEY_API_KEY")
    kept = {name: text for name, text in os.environ.items() if name not in unset}
    own = {"PARLEY_DATA_DIR": str(data_dir), "PARLEY_PORT": str(free_port()), "COLUMNS": "300"}

    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*(SETPRIV if os.geteuid() == 0 else ()), sys.executable, "-m", "parley_cli", *words],
            env={**kept, **own, **environment},
            cwd=data_dir.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def assert_one_sentence(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert result.returncode == 1, result
    assert result.stderr.count("\n") == 1, result.stderr
    assert all(part in result.stderr for part in parts), result.stderr


@pytest.mark.parametrize("words", [("token",), ("up",), ("up", "--detach")])
def test_a_key_that_may_not_be_read_is_one_sentence(run: Run, data_dir: Path, words: tuple[str, ...]) -> None:
    key = data_dir / "secrets/owner.key"
    key.chmod(0)
    assert_one_sentence(run(*words), f"{key} cannot be read (permission denied).")


@pytest.mark.parametrize(
    "words", [("status",), ("token",), ("logs",), ("down",), ("ask", "why?"), ("reset", "--yes")]
)
def test_a_data_folder_that_may_not_be_read_is_one_sentence(
    run: Run, data_dir: Path, words: tuple[str, ...]
) -> None:
    data_dir.chmod(0)
    assert_one_sentence(run(*words), str(data_dir), "cannot be read (permission denied).")


def test_the_doctor_goes_on_after_what_it_may_not_read(run: Run, data_dir: Path) -> None:
    data_dir.chmod(0)
    doctor = run("doctor")
    assert doctor.returncode == 1
    assert doctor.stderr == ""
    assert "owner.key cannot be read (permission denied)." in doctor.stdout
    assert "python" in doctor.stdout


@pytest.mark.parametrize(
    "words",
    [
        *(("status",), ("token",), ("doctor",), ("down",), ("reset", "--yes"), ("logs",), ("up",)),
        *(("ask", "why?"), ("events", "t1")),
    ],
)
def test_a_data_folder_that_is_a_file_is_one_sentence(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "note.txt").write_text("a file")
    result = run(*words, PARLEY_DATA_DIR=str(tmp_path / "note.txt"))
    assert_one_sentence(result, f"{tmp_path / 'note.txt'} is a file: set PARLEY_DATA_DIR to a folder.")


def test_a_key_for_another_machine_is_asked_for_by_its_setting(run: Run, data_dir: Path) -> None:
    (data_dir / "secrets/owner.key").unlink()
    result = run("ask", "why?", PARLEY_URL="http://elsewhere:8000")
    assert result.returncode == 3
    assert "There is no key for http://elsewhere:8000: set PARLEY_API_KEY" in result.stderr
