"""The API against its own description: schemathesis asks, and never gets a 5xx or what is not described."""

import asyncio
import os
from collections import Counter
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

CASES = int(os.environ.get("PARLEY_FUZZ_CASES", "100")) // 10
"""For each operation."""

CALL_S = 30.0
ELSEWHERE = {("POST", "/api/documents/url")}
"""What depends on servers of others may fail by their fault."""


def _run(stack_url: str, headers: dict[str, str], description: dict[str, Any], counts: Counter[str]) -> None:
    schema = schemathesis.openapi.from_dict(description)
    schema.config.update(base_url=stack_url)
    for found in schema.get_all_operations():
        operation = found.ok()
        name = f"{operation.method.upper()} {operation.path}"
        checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
        if (operation.method.upper(), operation.path) in ELSEWHERE:
            checks = [status_code_conformance]

        @settings(
            max_examples=CASES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        @given(case=operation.as_strategy())
        def ask(case: Case, name: str = name, checks: Any = checks) -> None:
            counts[name] += 1
            case.call_and_validate(headers=headers, checks=checks, timeout=CALL_S)

        ask()


async def test_the_api_answers_as_it_is_described(stack: Stack) -> None:
    counts: Counter[str] = Counter()
    async with httpx.AsyncClient(base_url=stack.url(), trust_env=False) as client:
        description = (await client.get("/openapi.json")).json()
    await asyncio.to_thread(_run, stack.url(), stack.headers, description, counts)
    print(f"\n{sum(counts.values())} cases over {len(counts)} operations, 0 failures")  # noqa: T201 - what was covered
    assert len(counts) == sum(len(methods) for methods in description["paths"].values())
