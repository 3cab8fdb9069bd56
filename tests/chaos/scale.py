"""How large the runs of this folder are: small in every test run, full for `make chaos` and `make soak`."""

import os
from typing import TypeVar

Amount = TypeVar("Amount", int, float)

IS_FULL = os.environ.get("PARLEY_CHAOS") == "full"


def scaled(small: Amount, full: Amount) -> Amount:
    """Return the amount that this run is to use."""
    return full if IS_FULL else small
