"""Commands around the local stack: up, down, status, reset."""

import os
import signal
import time
from typing import Annotated, Any

import typer
from rich.console import Console

from parley_cli.commands.options import AsJson
from parley_cli.exits import CliError, ExitCode, not_running
from parley_cli.output import Output, command
from parley_cli.owner_secrets import login_link, new_login_code, read_owner_key
from parley_cli.settings import CliSettings, read_settings
from parley_cli.supervisor.data_folder import empty_data_folder
from parley_cli.supervisor.detach import start_detached
from parley_cli.supervisor.leftovers import find_leftovers, stop_leftovers
from parley_cli.supervisor.report import MIB, PipeReporter, TerminalReporter, process_rows, process_table
from parley_cli.supervisor.session import AlreadyRunningError, StackSession, StartOptions
from parley_cli.supervisor.stack_state import StackState, is_supervised, read_state, remove_state

POLL_S = 0.05
STOP_MARGIN_S = 10.0


def _link(settings: CliSettings, state: StackState) -> str:
    if not state.url or read_owner_key(settings.secrets_dir) is None:
        return state.url
    return login_link(state.url, new_login_code(settings.secrets_dir))


def headline(state: StackState) -> str:
    """Return how the stack is, and while it is up who is not ready."""
    late = [f"{process.name} ({process.status})" for process in state.processes if process.status != "ready"]
    if state.phase == "ready" and late:
        return f"Parley is running, but not ready: {', '.join(late)}."
    return f"Parley is {state.phase}."


def _show_running(settings: CliSettings, output: Output, state: StackState, headline: str) -> None:
    output.show(process_table(state))
    login = _link(settings, state)
    link = f" Open this link to log in, once:\n  [bold]{login}[/]" if state.url else ""
    output.show(f"\n{headline}{link}")
    output.data(
        {
            "url": state.url,
            "login": login,
            "phase": state.phase,
            "services": process_rows(state),
        }
    )


def _tell_already_running(settings: CliSettings, output: Output) -> None:
    state = read_state(settings.run_dir)
    if state is None or not state.url:
        output.show("Parley is already starting here.")
        output.data({"phase": "starting"})
    else:
        _show_running(settings, output, state, "Parley is already running.")


def _run_reporting(settings: CliSettings, options: StartOptions, descriptor: int) -> None:
    reporter = PipeReporter(descriptor, Console(highlight=False))
    try:
        StackSession(settings, options, reporter).run()
    except CliError as error:
        reporter.failed(error)
        raise typer.Exit(error.exit_code) from None
    finally:
        reporter.close()


def _arguments(options: StartOptions) -> list[str]:
    words = ["--gateways", str(options.gateways)]
    for name in options.without:
        words += ["--without", name]
    if options.is_reloading:
        words.append("--reload")
    if not options.has_sample_docs:
        words.append("--no-sample-docs")
    return words


@command
def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything is ready.")] = False,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart services when their source changes.")
    ] = False,
    gateways: Annotated[
        int,
        typer.Option("--gateways", min=1, max=16, help="Gateway processes, on PARLEY_PORT and following."),
    ] = 1,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="Leave a service out; may be repeated.")
    ] = None,
    sample_docs: Annotated[
        bool,
        typer.Option("--sample-docs/--no-sample-docs", help="Read in the project's docs on a first start."),
    ] = True,
    report_to: Annotated[int | None, typer.Option("--report-to", hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Start NATS, Redis and every service, and keep them running until Ctrl-C."""
    settings = read_settings()
    output = Output(is_json=as_json)
    options = StartOptions(
        gateways=gateways, without=tuple(without or ()), is_reloading=reload, has_sample_docs=sample_docs
    )
    if report_to is not None:
        _run_reporting(settings, options, report_to)
        return
    try:
        if detach:
            start_detached(settings, _arguments(options), output.remark)
            if state := read_state(settings.run_dir):
                _show_running(settings, output, state, "Parley is ready.")
            return
        reporter = TerminalReporter(
            output.remarks,
            lambda state: _show_running(settings, output, state, "Parley is ready; Ctrl-C stops it."),
        )
        StackSession(settings, options, reporter).run()
        output.show("Parley has stopped.")
    except AlreadyRunningError:
        _tell_already_running(settings, output)


def _ask_supervisor_to_stop(settings: CliSettings) -> None:
    """Signal the supervisor and wait until it is gone. CliError when it does not go."""
    state = read_state(settings.run_dir)
    if state is None:
        raise CliError("The supervisor is just starting or stopping: try again in a moment.", code="busy")
    os.kill(state.pid, signal.SIGTERM)
    # Ranks stop one after another, each with its own grace time.
    until_s = time.monotonic() + 6 * settings.grace_s + STOP_MARGIN_S
    while is_supervised(settings.run_dir):
        if time.monotonic() > until_s:
            raise CliError(f"The supervisor (pid {state.pid}) does not stop.", code="timeout")
        time.sleep(POLL_S)


@command
def down(as_json: AsJson = False) -> None:
    """Stop everything that `parley up` started, in order."""
    settings = read_settings()
    output = Output(is_json=as_json)
    if is_supervised(settings.run_dir):
        _ask_supervisor_to_stop(settings)
    elif stop_leftovers(settings.data_dir, settings.grace_s, output.remark) == 0:
        remove_state(settings.run_dir)
        output.data({"stopped": False})
        output.show("Parley was not running.")
        return
    remove_state(settings.run_dir)
    output.data({"stopped": True})
    output.show("Parley has stopped.")


@command
def status(as_json: AsJson = False) -> None:
    """Show what runs where. Exit code 3 when nothing does."""
    settings = read_settings()
    output = Output(is_json=as_json)
    state = read_state(settings.run_dir)
    if is_supervised(settings.run_dir) and state is not None:
        _show_running(settings, output, state, headline(state))
        return
    leftovers = find_leftovers(settings.data_dir)
    if leftovers:
        raise not_running(
            f"The supervisor is gone, but {len(leftovers)} of its processes still run:"
            " `make up` starts afresh, `make down` stops them."
        )
    raise not_running()


@command
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    models: Annotated[bool, typer.Option("--models", help="Delete the downloaded models, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete everything that is kept: conversations, documents, keys, logs."""
    settings = read_settings()
    output = Output(is_json=as_json)
    if is_supervised(settings.run_dir) or find_leftovers(settings.data_dir):
        raise CliError("Parley is running: stop it with `make down` first.", code="running")
    question = f"Delete all conversations, documents and keys in {settings.data_dir}?"
    if not yes and not typer.confirm(question, err=True):
        raise CliError("Nothing was deleted.", ExitCode.FAILED, code="refused")
    freed: dict[str, Any] = {"freed_bytes": empty_data_folder(settings.data_dir, with_models=models)}
    output.data(freed)
    output.show(f"Deleted {freed['freed_bytes'] / MIB:.1f} MB. The next `make up` starts afresh.")
