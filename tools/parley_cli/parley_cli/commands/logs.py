"""Command `logs`: the last lines of each process's log, and those to come."""

import os
import time
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from parley_cli.commands.options import AsJson
from parley_cli.exits import CliError, ExitCode
from parley_cli.output import Output, command
from parley_cli.settings import CliSettings, read_settings
from parley_cli.supervisor.log_file import last_lines, log_path

POLL_S = 0.2


class FollowedLog:
    """Reads what is appended to a log, also after it was turned over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self._file.seek(0, 2)
        self._rest = b""

    def new_lines(self) -> list[str]:
        """Return the whole lines written since the last call."""
        data = self._rest + self._file.read()
        if not data and self._path.exists() and self._path.stat().st_ino != _inode(self._file):
            self._file.close()
            self._file = self._path.open("rb")
            data = self._file.read()
        whole, _, self._rest = data.rpartition(b"\n")
        return whole.decode("utf-8", "replace").splitlines()

    def close(self) -> None:
        self._file.close()


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _chosen(settings: CliSettings, service: str | None) -> list[Path]:
    try:
        found = sorted(path for path in settings.logs_dir.iterdir() if path.suffix == ".log")
    except FileNotFoundError:
        found = []
    if service is None:
        return found
    path = log_path(settings.logs_dir, service)
    if path not in found:
        names = ", ".join(log.stem for log in found) or "there are none yet"
        raise CliError(f"There is no log of {service!r} ({names}).", ExitCode.NOT_FOUND, code="not_found")
    return [path]


def _show(output: Output, name: str, line: str, width: int) -> None:
    output.data({"service": name, "line": line})
    if not output.is_json:
        typer.echo(f"{name:<{width}}  {line}" if width else line)


@command
def logs(
    service: Annotated[str | None, typer.Argument(help="Only this one: gateway, llm, nats, ...")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 40,
    as_json: AsJson = False,
) -> None:
    """Show the logs of the services."""
    output = Output(is_json=as_json)
    paths = _chosen(read_settings(), service)
    width = 0 if service else max((len(path.stem) for path in paths), default=0)
    followed = {path: FollowedLog(path) for path in paths} if follow else {}
    for path in paths:
        for line in last_lines(path, lines):
            _show(output, path.stem, line, width)
    try:
        while followed:
            for path, log in followed.items():
                for line in log.new_lines():
                    _show(output, path.stem, line, width)
            time.sleep(POLL_S)
    finally:
        for log in followed.values():
            log.close()
