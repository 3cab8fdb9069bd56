"""Says at the end of a run what is near the limits: allowed, and worth a look."""

import pytest

from tests.architecture.sizes import (
    NOTED_FUNCTION_LINES,
    NOTED_MODULE_LINES,
    long_functions,
    long_modules,
)
from tests.architecture.source_tree import PRODUCT, real_tree, within


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    product = within(real_tree(), PRODUCT)
    noted = long_modules(product, NOTED_MODULE_LINES) + long_functions(product, NOTED_FUNCTION_LINES)
    if noted:
        terminalreporter.section("large, and allowed", sep="-")
        for line in noted:
            terminalreporter.line(line)
