"""Starts the supervisor as a background session leader and waits until it is ready."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from parley_cli.exits import CliError, ExitCode
from parley_cli.settings import CliSettings
from parley_cli.supervisor.data_folder import prepare_data_folder
from parley_cli.supervisor.log_file import last_lines, log_path, open_log
from parley_cli.supervisor.report import read_reports
from parley_cli.supervisor.session import AlreadyRunningError

SUPERVISOR = "supervisor"


def start_detached(settings: CliSettings, arguments: Sequence[str], say: Callable[[str], None]) -> None:
    """Return once the stack can be asked. Raises what the supervisor could not start for."""
    prepare_data_folder(settings.data_dir)
    log = log_path(settings.logs_dir, SUPERVISOR)
    reading, writing = os.pipe()
    with open_log(log) as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "parley_cli", "up", *arguments, "--report-to", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as pipe:
            for report in read_reports(pipe):
                if "say" in report:
                    say(report["say"])
                if "settled" in report:
                    return
                if "error" in report:
                    raise _error(report["error"])
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    raise CliError(
        f"The supervisor ended before everything was ready. The end of {log}:",
        detail="\n".join(last_lines(log, 8)),
        code="start_failed",
    )


def _error(report: dict[str, str | int]) -> CliError:
    code = str(report["code"])
    kind = AlreadyRunningError if code == "already_running" else CliError
    return kind(
        str(report["message"]), ExitCode(int(report["exit"])), code=code, detail=str(report["detail"])
    )
