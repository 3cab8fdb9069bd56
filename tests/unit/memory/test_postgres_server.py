"""The PostgreSQL server of the tests leaves nothing behind, however the run ends."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.postgres import server_folder

RUN = """
import sys
import time
from pathlib import Path
from tests.postgres import running_postgres

with running_postgres(Path(sys.argv[1]), int(sys.argv[2])):
    print("ready", flush=True)
    sys.stdin.read()
"""
GONE_S = 20.0


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.postgres
@pytest.mark.server_only
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "over"])
def test_the_server_is_gone_when_the_run_that_started_it_is(is_killed: bool) -> None:
    programs, port = server_folder(), free_port()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    command = [sys.executable, "-c", RUN, str(programs), str(port)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        assert answers(port)
        if is_killed:
            run.kill()
        run.stdin.close()
    until_s = time.monotonic() + GONE_S
    while answers(port):
        assert time.monotonic() < until_s
        time.sleep(0.02)
