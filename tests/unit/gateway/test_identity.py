"""Who a request is from."""

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_gateway.identity import SESSION_COOKIE, Doorkeeper, Secrets

from tests.unit.gateway.known_keys import OWNER, KnownKeys

PROVER = KnownKeys({"pk_right": OWNER}, {"session-1": OWNER})
DOORKEEPER = Doorkeeper(PROVER, Secrets("pk_right", b"\x01" * 32), session_s=60)
OTHER = Doorkeeper(PROVER, Secrets("pk_right", b"\x02" * 32), session_s=60)
EXPIRED = Doorkeeper(PROVER, Secrets("pk_right", b"\x01" * 32), session_s=-1)


def cookie(keeper: Doorkeeper = DOORKEEPER, session_id: str = "session-1") -> str:
    return f"{SESSION_COOKIE}={keeper.new_session(session_id)}"


async def refusal(method: str, headers: dict[str, str]) -> ErrorCode:
    with pytest.raises(ParleyError) as caught:
        await DOORKEEPER.identify(method, headers)
    return caught.value.code


async def test_the_right_key_is_the_owner() -> None:
    assert await DOORKEEPER.identify("POST", {"authorization": "Bearer pk_right"}) == OWNER


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer pk_wrong"},
        {"authorization": "Bearer "},
        {"authorization": "Basic pk_right"},
        {"cookie": f"{SESSION_COOKIE}=session-1.99999999999.00"},
        {"cookie": f"{SESSION_COOKIE}="},
        {"cookie": "not a cookie; ;;="},
        {"cookie": cookie(OTHER)},
        {"cookie": cookie(EXPIRED)},
        {"cookie": cookie(session_id="session-2")},
        {"cookie": cookie().replace("session-1", "session-2")},
    ],
)
async def test_anything_else_is_refused(headers: dict[str, str]) -> None:
    assert await refusal("GET", headers) is ErrorCode.UNAUTHENTICATED


async def test_a_session_cookie_reads_from_anywhere_and_writes_from_its_own_pages_only() -> None:
    assert await DOORKEEPER.identify("GET", {"cookie": cookie()}) == OWNER
    own = {"cookie": cookie(), "origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"}
    assert await DOORKEEPER.identify("POST", own) == OWNER
    assert await refusal("POST", {**own, "origin": "http://evil.example"}) is ErrorCode.FORBIDDEN
    assert await refusal("POST", {"cookie": cookie(), "host": "127.0.0.1:8000"}) is ErrorCode.FORBIDDEN
    assert await refusal("POST", {**own, "origin": "http://["}) is ErrorCode.FORBIDDEN
    assert await refusal("POST", {"cookie": cookie()}) is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("other", ['{"a":1}=b', "a=b,c d", 'q="\\\\', "=", "\xe9=\xe9", "parley_session2=x"])
async def test_cookies_that_others_have_set_for_the_host_lock_nobody_out(other: str) -> None:
    for header in (f"{other}; {cookie()}", f"{cookie()}; {other}", f"{other};{cookie()};{other}"):
        assert await DOORKEEPER.identify("GET", {"cookie": header}) == OWNER
