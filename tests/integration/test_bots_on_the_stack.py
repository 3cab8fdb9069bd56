"""Bots on a real stack: visitors on two gateways, changes seen by both, and the key rotated as they chat."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest_asyncio

from tests.chaos.printed import print_row
from tests.integration.paced import QUICK
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

PAGE = {"Origin": "https://shop.example"}
GATEWAYS = (0, 1)
KEY = "sk-nobody-finds-this-one-0000"
CHATS = 8


@pytest_asyncio.fixture(loop_scope="session")
async def bot(stack: Stack) -> AsyncGenerator[dict[str, Any]]:
    settings = {
        "name": "Guide",
        "models": [{"model": f"ollama/{QUICK}"}],
        "allowed_origins": list(PAGE.values()),
    }
    async with stack.http() as owner:
        made = (await owner.post("/api/bots", json=settings)).json()
        yield made
        await owner.delete(f"/api/bots/{made['id']}")


async def ask(stack: Stack, gateway: int, bot: dict[str, Any], token: str | None = None) -> Any:
    headers = {**PAGE, **({} if token is None else {"Parley-Visitor": token})}
    async with stack.http(gateway, headers=headers) as client:
        return await client.post(f"/api/chat/{bot['id']}", json={"text": "Who has the pen?"})


async def test_a_session_goes_on_at_another_gateway_and_ends_for_both(
    stack: Stack, bot: dict[str, Any]
) -> None:
    first = (await ask(stack, 0, bot)).json()
    second = (await ask(stack, 1, bot, first["visitor_token"])).json()
    assert second["session"] == first["session"]
    assert second["text"]
    path = f"/api/chat/{bot['id']}/session/{first['session']}"
    async with stack.http(1, headers={**PAGE, "Parley-Visitor": first["visitor_token"]}) as client:
        assert (await client.delete(path)).status_code == 200

    async def has_ended() -> bool:
        # Memory knows of the end; where it is late, as on a busy machine, a visitor is answered without it.
        asked = [await ask(stack, gateway, bot, first["visitor_token"]) for gateway in GATEWAYS]
        return {one.status_code for one in asked} == {404}

    await eventually(has_ended)


async def test_a_bot_that_is_deleted_answers_at_no_gateway_any_more(
    stack: Stack, bot: dict[str, Any]
) -> None:
    for gateway in GATEWAYS:
        assert (await ask(stack, gateway, bot)).status_code == 200
    async with stack.http() as owner:
        assert (await owner.delete(f"/api/bots/{bot['id']}")).status_code == 200
    began_s = time.monotonic()

    async def is_gone() -> bool:
        return {(await ask(stack, gateway, bot)).status_code for gateway in GATEWAYS} == {404}

    await eventually(is_gone)
    print_row(f"a deleted bot answers at neither gateway after {time.monotonic() - began_s:.3f} s")


async def rotate(stack: Stack) -> str:
    command = (sys.executable, "-m", "parley_cli", "accounts", "rotate-kek")
    environment = {"PARLEY_URL": stack.url(), "PARLEY_API_KEY": stack.owner_key, "PATH": ""}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**environment, "PYTHONPATH": ":".join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said
    return said.decode().strip()


async def test_the_key_encryption_key_is_rotated_while_visitors_chat(
    stack: Stack, bot: dict[str, Any]
) -> None:
    async with stack.http() as owner:
        for provider in ("anthropic", "openai"):
            made = await owner.put(f"/api/bots/{bot['id']}/keys/{provider}", json={"key": KEY})
            assert (made.status_code, made.json()["last_four"]) == (200, "0000")
    old = (stack.folder / "secrets" / "kek.key").read_text()

    async def chat(number: int) -> list[int]:
        statuses: list[int] = []
        token: str | None = None
        for turn in range(3):
            response = await ask(stack, (number + turn) % 2, bot, token)
            statuses.append(response.status_code)
            token = response.json().get("visitor_token")
        return statuses

    said, *answers = await asyncio.gather(rotate(stack), *(chat(number) for number in range(CHATS)))
    print_row(f"{said} {CHATS * 3} turns of visitors meanwhile: all answered")
    assert answers == [[200] * 3] * CHATS
    assert (stack.folder / "secrets" / "kek.key").read_text() != old
    found = await asyncio.to_thread(stack.tables.written, "accounts")
    assert bot["id"].encode() in found
    assert not [secret for secret in (KEY, old.strip()) if secret.encode() in found]
    query = "SELECT DISTINCT substr(sealed_key, 1, 19) FROM accounts_provider_keys"
    assert len(stack.tables.rows("accounts", query)) == 1
    # Tokens are signed as before.
    async with stack.http(1) as owner:
        assert (await owner.get("/api/users/me")).status_code == 200
