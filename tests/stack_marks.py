"""The marks of a test that runs on a stack: what it needs, and the loop in which the stack's clients live."""

import pytest

STACK_WITHOUT_MODEL = [
    pytest.mark.stack,
    pytest.mark.nats,
    pytest.mark.redis,
    pytest.mark.asyncio(loop_scope="session"),
]
STACK = [*STACK_WITHOUT_MODEL, pytest.mark.model]
