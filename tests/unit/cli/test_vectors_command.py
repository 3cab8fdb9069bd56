"""`parley vectors move` as its users meet it; the move itself is tested with the rag service."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from parley_cli.supervisor.data_folder import prepare_data_folder
from parley_cli.supervisor.stack_state import SupervisorLock

Run = Callable[..., subprocess.CompletedProcess[str]]
MOVE = """\
import json, sys
assert sys.argv[1:3] == ["--to", "http://there:6333"], sys.argv
print(json.dumps({"moved": 2, "total": 4}))
print(json.dumps({"is_done": True, "total": 4, "source": "embedded", "target": "there", "kept": "/old"}))
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs `parley` with what moves replaced by a script."""

    def call(*words: str, script: str = MOVE) -> subprocess.CompletedProcess[str]:
        package = tmp_path / "packages" / "parley_rag"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "move.py").write_text(script)
        return subprocess.run(
            [sys.executable, "-m", "parley_cli", "vectors", *words],
            env={
                "PYTHONPATH": str(tmp_path / "packages"),
                "PARLEY_DATA_DIR": str(tmp_path / "data"),
                "COLUMNS": "200",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def test_a_move_says_where_everything_is_now_and_where_the_old_is(run: Run) -> None:
    done = run("move", "--to", "http://there:6333")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "4 passages are in http://there:6333.",
        "The old ones are still in /old.",
        "Set QDRANT_URL=http://there:6333 before the next `parley up`.",
    ]
    as_json = json.loads(run("move", "--to", "http://there:6333", "--json").stdout)
    assert as_json == {"total": 4, "source": "embedded", "target": "there", "kept": "/old"}


def test_nothing_is_moved_under_a_running_stack(run: Run, tmp_path: Path) -> None:
    prepare_data_folder(tmp_path / "data")
    lock = SupervisorLock(tmp_path / "data" / "run")
    assert lock.take()
    refused = run("move", "--to", "http://there:6333")
    lock.release()
    assert refused.returncode == 1
    assert "parley down" in refused.stderr


def test_a_move_that_is_refused_or_dies_says_why(run: Run) -> None:
    refused = run(
        "move", "--to", "x", script='print(\'{"error": "There are vectors in x already."}\'); exit(1)'
    )
    assert refused.returncode == 1
    assert "There are vectors in x already." in refused.stderr
    died = run("move", "--to", "x", script="raise SystemExit('out of disk')")
    assert died.returncode == 1
    assert "out of disk" in died.stderr
