"""How a rule is asserted: all that breaks it is listed, one line each."""

from collections.abc import Sequence

import pytest


def expect_none(faults: Sequence[str]) -> None:
    """Fail and name every fault, if there is one."""
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)
