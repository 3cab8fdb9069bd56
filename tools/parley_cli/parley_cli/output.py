"""Where a command writes: results to stdout (text or JSON), remarks and errors to stderr."""

import functools
import json
import os
from collections.abc import Callable
from typing import Any, ParamSpec, cast

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from parley_cli.exits import CliError, ExitCode, refusals_as_errors

P = ParamSpec("P")
PIPE_COLUMNS = 1000
"""Who reads a pipe wants each row of a table on one line; COLUMNS in the environment wins."""


class Output:
    """A command's two streams; with `is_json` exactly one JSON document a result goes to stdout."""

    def __init__(self, *, is_json: bool = False) -> None:
        self.is_json = is_json
        self.console = Console(highlight=False)
        if not self.console.is_terminal and not os.environ.get("COLUMNS"):
            self.console.width = PIPE_COLUMNS
        self.remarks = Console(stderr=True, highlight=False)

    def show(self, renderable: RenderableType) -> None:
        """Print for people; silent in JSON mode."""
        if not self.is_json:
            self.console.print(renderable, soft_wrap=isinstance(renderable, str))

    def remark(self, text: str) -> None:
        """Say what is going on, apart from the result."""
        self.remarks.print(text, soft_wrap=True, markup=False)

    def data(self, value: object) -> None:
        """Print a result for programs; silent without JSON mode."""
        if self.is_json:
            typer.echo(json.dumps(value, ensure_ascii=False))


def tell_error(error: CliError, *, is_json: bool) -> None:
    """Print an error as one sentence, or as one JSON document."""
    output = Output(is_json=is_json)
    output.data({"error": {"code": error.code, "message": error.message}})
    if not is_json:
        output.remarks.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
        if error.detail:
            output.remarks.print(error.detail, soft_wrap=True, markup=False, style="dim")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn a command's CliError, or a path that is refused to it, into its sentence and exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        is_json = bool(cast("dict[str, Any]", kwargs).get("as_json", False))
        try:
            with refusals_as_errors():
                function(*args, **kwargs)
        except CliError as error:
            tell_error(error, is_json=is_json)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    return guarded
