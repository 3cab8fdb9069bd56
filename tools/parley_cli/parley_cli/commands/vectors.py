"""Command `vectors move`: the vector index as a whole, from one store to another."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress

from parley_cli.commands.options import AsJson
from parley_cli.exits import EXIT_CODES_HELP, CliError
from parley_cli.output import Output, command
from parley_cli.settings import CliSettings, read_settings
from parley_cli.supervisor.data_folder import prepare_data_folder
from parley_cli.supervisor.log_file import last_lines, log_path, open_log
from parley_cli.supervisor.stack_state import SupervisorLock

EMBEDDED = "embedded"

vectors = typer.Typer(help="Move the vectors to another store.", no_args_is_help=True)


@vectors.callback()
def _vectors() -> None:
    """Keep `move` a word of its own, though it is the only one."""


def _moving(settings: CliSettings, source: str | None, target: str) -> Iterator[dict[str, Any]]:
    """Have the rag service's own code move them, and yield what it says."""
    log = log_path(settings.logs_dir, "vectors-move")
    argv = [sys.executable, "-m", "parley_rag.move", "--to", target, *(["--from", source] if source else [])]
    environment = {**settings.environment, "PARLEY_DATA_DIR": str(settings.data_dir)}
    with (
        open_log(log) as file,
        subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=file, text=True) as process,
    ):
        assert process.stdout
        said: dict[str, Any] = {}
        for line in process.stdout:
            said = json.loads(line)
            yield said
    if process.returncode and "error" not in said:
        raise CliError(
            f"The vectors could not be moved. The end of {log}:", detail="\n".join(last_lines(log, 5))
        )


@vectors.command("move", epilog=EXIT_CODES_HELP)
@command
def move(
    to: Annotated[str, typer.Option("--to", help="URL of a Qdrant server, or `embedded`.")],
    source: Annotated[
        str | None, typer.Option("--from", help="Where they are now; the default is what QDRANT_URL says.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move all vectors to another store, while Parley is down.

    A move that was stopped goes on where it was. The old store is kept.
    """
    output, settings = Output(is_json=as_json), read_settings()
    prepare_data_folder(settings.data_dir)
    lock = SupervisorLock(settings.run_dir)
    if not lock.take():
        raise CliError("Parley is running: stop it first with `parley down`.", code="already_running")
    said: dict[str, Any] = {}
    try:
        with Progress(
            console=output.remarks, transient=True, disable=as_json or not output.remarks.is_terminal
        ) as bars:
            bar = bars.add_task(f"to {escape(to)}", total=None)
            for said in _moving(settings, source, to):
                bars.update(bar, completed=said.get("moved", 0), total=said.get("total"))
    finally:
        lock.release()
    if "error" in said:
        raise CliError(said["error"], code="not_moved")
    output.data({key: said[key] for key in ("total", "source", "target", "kept")})
    output.show(f"{said['total']} passages are in {escape(to)}.")
    output.show(f"The old ones are still in {escape(said['kept'])}.")
    setting = "Unset QDRANT_URL" if to == EMBEDDED else f"Set QDRANT_URL={escape(to)}"
    output.show(f"{setting} before the next `parley up`.")
