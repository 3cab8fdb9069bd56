"""Replies that several services give."""

from typing import Literal

from parley_contracts.model import WireModel


class Done(WireModel):
    """It was done."""

    type: Literal["done"] = "done"
