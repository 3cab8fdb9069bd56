"""Command `doctor`: what is missing and how to get it."""

import typer
from rich.markup import escape
from rich.table import Table

from parley_cli.client.checkup import Finding, examine
from parley_cli.commands.options import AsJson
from parley_cli.exits import ExitCode
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

MARKS = {"ok": "[green]ok[/]", "absent": "[yellow]absent[/]", "missing": "[red]missing[/]"}


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("what", "state", "found", "how to get it"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        table.add_row(finding.name, MARKS[finding.state], escape(finding.found), escape(finding.remedy))
    return table


@command
def doctor(as_json: AsJson = False) -> None:
    """Look at what Parley needs here. Exit code 1 when something is missing without which it cannot start."""
    output = Output(is_json=as_json)
    findings = list(examine(read_settings()))
    output.data({"findings": [finding.as_json() for finding in findings]})
    output.show(_table(findings))
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
