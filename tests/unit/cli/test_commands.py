"""The command as its users meet it: a process, its words and its exit codes, over services that stand in."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parley_cli.supervisor.processes import identity

STAND_IN = Path(__file__).with_name("stand_in.py")
SERVICES = ("gateway", "llm", "npu", "rag", "memory", "accounts", "browser")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stack_environment(tmp_path: Path, free_port: Callable[[], int]) -> dict[str, str]:
    """Return an environment in which every service is a stand-in, found before the real packages."""
    packages = tmp_path / "packages"
    for service in SERVICES:
        folder = packages / f"parley_{service}"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        public = ", '--public-port', os.environ['PARLEY_PORT']" if service == "gateway" else ""
        (folder / "__main__.py").write_text(
            "import os, runpy, sys\n"
            f"sys.argv = ['x', '--port', os.environ['PARLEY_HEALTH_PORT'], '--name', '{service}',"
            f" '--journal', {str(tmp_path / 'journal')!r}{public}]\n"
            f"runpy.run_path({str(STAND_IN)!r}, run_name='__main__')\n"
        )
    (packages / "parley_npu" / "fetch.py").touch()
    kept = {name: text for name, text in os.environ.items() if name not in ("NATS_URL", "REDIS_URL")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]),
        "PARLEY_DATA_DIR": str(tmp_path / "data"),
        "PARLEY_PORT": str(free_port()),
        "COLUMNS": "200",
    }


@pytest.fixture
def run(stack_environment: dict[str, str], tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs `parley`; whatever it started is stopped at the end."""

    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "parley_cli", *words],
            env={**stack_environment, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    yield call
    call("down")


def processes(run: Run) -> dict[str, Any]:
    status = json.loads(run("status", "--json").stdout)
    return {row["name"]: row for row in status["services"]}


@pytest.mark.nats
@pytest.mark.redis
def test_a_detached_stack_comes_up_is_recognised_and_goes_down(run: Run, tmp_path: Path) -> None:
    up = run("up", "--detach", "--no-sample-docs", "--json")
    assert up.returncode == 0, up.stderr
    shown = json.loads(up.stdout)
    assert {row["status"] for row in shown["services"]} == {"ready"}
    key = (tmp_path / "data/secrets/owner.key").read_text()
    assert shown["login"].startswith(f"{shown['url']}/login#code=")
    again = run("up")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert f"{shown['url']}/login#code=" in again.stdout
    assert shown["login"] not in again.stdout
    assert key not in up.stdout + again.stdout
    down = run("down", "--json")
    assert json.loads(down.stdout) == {"stopped": True}
    assert all(identity(row["pid"]) is None for row in shown["services"])
    assert run("status").returncode == 3
    logs = tmp_path.joinpath("data/logs").glob("*.log")
    assert not any(key in log.read_text(errors="replace") for log in logs)


@pytest.mark.nats
@pytest.mark.redis
def test_a_detached_first_start_returns_when_the_sample_docs_are_done_with(run: Run) -> None:
    up = run("up", "--detach")
    assert up.returncode == 0, up.stderr
    *_, reading, result = up.stderr.splitlines()
    assert reading == "Reading the project's own docs; they can be asked about in a moment."
    # The gateway that stands in takes no documents.
    assert "the next start tries again" in result


@pytest.mark.nats
@pytest.mark.redis
def test_services_survive_their_supervisor_and_the_next_start_replaces_them(run: Run, tmp_path: Path) -> None:
    run("up", "--detach", "--no-sample-docs")
    state = json.loads((tmp_path / "data/run/supervisor.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    left = {process["name"]: process["pid"] for process in state["processes"]}
    assert all(identity(pid) for pid in left.values())
    status = run("status")
    assert status.returncode == 3
    assert "The supervisor is gone, but 9 of its processes still run" in status.stderr
    again = run("up", "--detach", "--no-sample-docs")
    assert again.returncode == 0, again.stderr
    assert "Stopping 9 processes" in again.stderr
    assert not any(identity(pid) for pid in left.values())
    assert processes(run)["nats"]["port"] == state["processes"][0]["port"]


@pytest.mark.nats
@pytest.mark.redis
def test_ctrl_c_in_the_foreground_stops_everything_and_exits_with_0(
    stack_environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "parley_cli", "up", "--no-sample-docs", "--json"]
    with subprocess.Popen(
        command, env=stack_environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as foreground:
        assert foreground.stdout is not None
        shown = json.loads(foreground.stdout.readline())
        foreground.send_signal(signal.SIGINT)
        assert foreground.wait(timeout=60) == 0
    assert not any(identity(row["pid"]) for row in shown["services"])


@pytest.mark.nats
@pytest.mark.redis
def test_a_service_that_cannot_start_fails_a_detached_start_with_its_last_words(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "packages/parley_rag/__main__.py").write_text("raise SystemExit('no such table: chunks')")
    up = run("up", "--detach", "--no-sample-docs")
    assert up.returncode == 1
    assert "rag does not start: it ended 3 times (exit code 1)" in up.stderr
    assert "no such table: chunks" in up.stderr
    assert "Traceback" not in up.stderr
    assert run("status").returncode == 3


@pytest.mark.parametrize("words", [("up",), ("up", "--detach")])
def test_a_folder_that_cannot_be_written_to_is_one_sentence(
    run: Run, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "occupied").write_text("a file")
    up = run(*words, PARLEY_DATA_DIR=str(tmp_path / "occupied" / "data"))
    assert up.returncode == 1
    assert "cannot be written to (not a directory): set PARLEY_DATA_DIR" in up.stderr
    assert up.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("environment", "exit_code", "sentence"),
    [
        ({"PARLEY_PORT": "eighty"}, 2, "PARLEY_PORT is not a number: 'eighty'."),
        ({"PARLEY_PORT": "70000"}, 2, "PARLEY_PORT must be between 1 and 65535, not 70000."),
        ({"NATS_URL": "nats://127.0.0.1:1"}, 1, "Nothing answers at NATS_URL (127.0.0.1:1)"),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(
    run: Run, environment: dict[str, str], exit_code: int, sentence: str
) -> None:
    up = run("up", "--detach", **environment)
    assert up.returncode == exit_code
    assert sentence in up.stderr
    assert "Traceback" not in up.stderr


def test_client_commands_without_a_stack_say_so_and_exit_with_3(run: Run, tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("# Note")
    for words in (["ask", "why?"], ["search", "why"], ["events", "t1"], ["ingest", "note.md"], ["status"]):
        result = run(*words)
        assert (result.returncode, words) == (3, words)
        assert "make up" in result.stderr


def test_errors_are_json_when_json_is_asked_for(run: Run) -> None:
    result = run("token", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "not_running"
    assert result.returncode == 3


def test_reset_asks_deletes_and_touches_nothing_that_is_not_ours(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("years of work")
    assert run("reset", "--yes").returncode == 1
    assert (tmp_path / "data" / "thesis.txt").exists()
    (tmp_path / "data" / ".parley-data").touch()
    (tmp_path / "data" / "models").mkdir()
    assert run("reset", "--yes").returncode == 0
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [".parley-data", "models"]


def test_logs_follow_what_is_written(stack_environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "data/logs/rag.log"
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\n")
    command = [sys.executable, "-u", "-m", "parley_cli", "logs", "rag", "-f", "-n", "1"]
    with subprocess.Popen(
        command, env=stack_environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "two\n"
        with log.open("a") as file:
            file.write("three\n")
        started_s = time.monotonic()
        assert following.stdout.readline() == "three\n"
        assert time.monotonic() - started_s < 5
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=10) == 130


def test_help_and_version_name_the_exit_codes_and_the_version(run: Run) -> None:
    assert run("--version").stdout.startswith("parley 0.")
    for words in ([], ["ask"], ["up"]):
        assert "3 Parley is not running" in " ".join(run(*words, "--help").stdout.split())


def test_help_and_tables_in_a_pipe_have_whole_lines(run: Run) -> None:
    lines = run("--help", COLUMNS="").stdout.splitlines()
    [ingest] = [line for line in lines if line.split()[:1] == ["ingest"]]
    assert ingest.endswith("and wait until they can be searched.")
    [collection] = [line for line in run("ask", "--help").stdout.splitlines() if "--collection" in line]
    assert collection.endswith("may be repeated.")
    [folder] = [line for line in run("doctor", COLUMNS="").stdout.splitlines() if "data folder" in line]
    assert "GB free)" in folder
