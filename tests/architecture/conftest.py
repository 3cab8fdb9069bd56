"""Says at the end of a run what is near the limits: allowed, and worth a look."""

import pytest

from tests.architecture.sizes import NOTED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed: list[pytest.TestReport] = terminalreporter.stats.get("passed", [])
    noted = [str(line) for report in passed for name, line in report.user_properties if name == NOTED]
    if noted:
        terminalreporter.section(NOTED, sep="-")
        for line in noted:
            terminalreporter.line(line)
