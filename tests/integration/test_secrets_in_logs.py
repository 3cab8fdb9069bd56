"""Keys, codes and sessions stand in no log, wherever a client puts them."""

import pytest
from parley_cli.owner_secrets import new_login_code
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK


async def test_no_secret_is_logged(stack: Stack) -> None:
    code = new_login_code(stack.folder / "secrets")
    key = stack.owner_key
    async with stack.http(headers={}) as client:
        by_code = await client.post("/api/auth/session", json={"code": code})
        by_key = await client.post("/api/auth/session", json={"key": key})
        assert (by_code.status_code, by_key.status_code) == (200, 200)
        for path in (f"/api/users/me?key={key}", f"/v1/models/{key}?access_token={key}", f"/{key}"):
            assert (await client.get(path)).status_code in (200, 404)
        assert (await client.post("/api/search", content=key)).status_code == 403
    session = by_key.cookies["parley_session"]
    address = stack.url().replace("http", "ws", 1)
    with pytest.raises(InvalidStatus):
        async with connect(f"{address}/ws?key={key}", proxy=None):
            pass
    async with stack.chat(0) as chat:
        refused = await chat.answer_to({"type": key, "text": key})
        assert refused["type"] == "error"
    # A second gateway of the same machine does not take the code either.
    async with stack.http(1, headers={}) as client:
        assert (await client.post("/api/auth/session", json={"code": code})).status_code == 401
    for log in stack.folder.glob("*.log"):
        text = log.read_text(errors="replace")
        assert not [secret for secret in (code, key, session) if secret in text], log.name
