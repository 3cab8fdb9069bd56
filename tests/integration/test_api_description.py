"""The API against its own description: schemathesis asks, and never gets a 5xx or what is not described."""

import asyncio
import contextlib
import os
from collections import Counter
from importlib import import_module
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.integration.stack import Stack
from tests.plain_http import NO_CERTIFICATES
from tests.stack_marks import STACK

pytestmark = STACK

CASES = int(os.environ.get("PARLEY_FUZZ_CASES", "12")) // 12
"""For each operation, as described, and as many that are not."""

CALL_S = 30.0
ELSEWHERE = {("POST", "/api/documents/url")}
"""Asked wrongly only: asked as described, it would read pages of others."""

LASTING = "for_s"
"""The parameter by which an answer goes on for up to an hour; what is a number is made none at all."""


library: Any = schemathesis
"""Its types are known in part only."""

openapi_checks = import_module("schemathesis.specs.openapi.checks")
CHECKS = [
    library.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.response_schema_conformance,
]


def _shorten(case: Any) -> None:
    if any(one.name == LASTING for one in case.operation.query):
        query: dict[str, Any] = dict(case.query or {})
        with contextlib.suppress(ValueError, TypeError):
            query[LASTING] = 0.0 * float(query.get(LASTING, 0))
        case.query = query


def _ask(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> int:
    """Send requests to one operation that are as described, or that are not; return how many."""
    asked = 0

    @settings(
        max_examples=CASES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        _shorten(case)
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=CALL_S)

    with contextlib.suppress(Unsatisfiable):  # Where nothing is asked for, nothing can be asked wrongly.
        ask()
    return asked


def _ask_all(stack_url: str, headers: dict[str, str], description: dict[str, Any]) -> Counter[str]:
    schema = library.openapi.from_dict(description)
    schema.config.update(base_url=stack_url)
    asked: Counter[str] = Counter()
    for operation in (found.ok() for found in schema.get_all_operations()):
        is_elsewhere = (operation.method.upper(), operation.path) in ELSEWHERE
        for mode in [GenerationMode.NEGATIVE] if is_elsewhere else GenerationMode:
            asked[mode.value] += _ask(operation, mode, headers)
        asked["operations"] += 1
    return asked


async def test_the_api_answers_as_it_is_described(stack: Stack) -> None:
    async with httpx.AsyncClient(verify=NO_CERTIFICATES, base_url=stack.url(), trust_env=False) as client:
        description = (await client.get("/openapi.json")).json()
    asked = await asyncio.to_thread(_ask_all, stack.url(), stack.headers, description)
    operations = asked.pop("operations")
    print(f"\n{asked.total()} cases ({dict(asked)}) over {operations} operations, 0 failures")  # noqa: T201 - what was covered
    assert operations == sum(len(methods) for methods in description["paths"].values())
    assert min(asked.values()) > operations // 2
