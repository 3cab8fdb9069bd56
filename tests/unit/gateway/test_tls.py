"""TLS of the gateway: what it speaks, whom clients refuse, and a certificate that is renewed under them."""

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from parley_cli.client.access import Access
from parley_cli.client.gateway import Gateway
from parley_cli.client.turn_socket import TurnSocket
from parley_cli.exits import CliError
from parley_contracts.client_frames import StartTurnFrame
from parley_gateway.certificate import Certificate
from parley_gateway.server import EdgeServer
from parley_messaging.memory_bus import MemoryBus

from tests.certificates import Authority
from tests.unit.gateway.http_edge import KEY, listening_edge, port_of, until
from tests.unit.gateway.raw_client import KEYED, TEXT, connected, frame

LOOPBACK = "127.0.0.1"
SHORT_S = 2.0
START = StartTurnFrame(type="start_turn", turn_id="t1", text="Hi.")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def server(tmp_path: Path, authority: Authority) -> AsyncGenerator[EdgeServer]:
    chain, key = authority.issue(LOOPBACK)
    bus = MemoryBus()
    async with listening_edge(
        bus, tmp_path, tls_cert=chain, tls_key=key, gateway_headers_s=SHORT_S, gateway_uncounted_hosts=""
    ) as server:
        yield server
    await bus.close()


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.path)


async def refusal_of(access: Access) -> list[CliError]:
    """Return what the command says when it asks over HTTP, and over a WebSocket."""
    refusals: list[CliError] = []
    async with Gateway(access) as gateway:
        with pytest.raises(CliError) as caught:
            await gateway.health()
        refusals.append(caught.value)
    with pytest.raises(CliError) as caught:
        async for _ in TurnSocket(access, "t1", START).frames():
            pass
    refusals.append(caught.value)
    return refusals


async def test_the_command_reaches_a_gateway_whose_issuer_it_trusts(
    server: EdgeServer, authority: Authority, tmp_path: Path
) -> None:
    for trusted in (authority.path, tmp_path / "gateway.pem"):
        access = Access(f"https://{LOOPBACK}:{port_of(server)}", KEY, (trusted,))
        async with Gateway(access) as gateway:
            assert (await gateway.health())["status"] == "degraded"
    async with connected(port_of(server), trusting(authority)) as client:
        await client.open_socket()
        await client.say(frame(TEXT, b'{"type": "ping"}'))
        assert b"pong" in (await client.frame())[1]


async def test_a_certificate_for_another_name_is_refused_with_a_reason(
    server: EdgeServer, authority: Authority
) -> None:
    access = Access(f"https://localhost:{port_of(server)}", KEY, (authority.path,))
    for refusal in await refusal_of(access):
        assert refusal.code == "untrusted_certificate"
        assert "Hostname mismatch" in refusal.message
        assert "PARLEY_CA_FILE" in refusal.message


async def test_a_certificate_of_somebody_else_is_refused_with_a_reason(
    server: EdgeServer, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "Other Authority")
    for trusted in ((), (other.path,)):
        access = Access(f"https://{LOOPBACK}:{port_of(server)}", KEY, trusted)
        for refusal in await refusal_of(access):
            assert refusal.code == "untrusted_certificate"
            assert "local issuer" in refusal.message


async def test_a_certificate_whose_time_is_over_is_refused_with_a_reason(
    tmp_path: Path, authority: Authority
) -> None:
    chain, key = authority.issue(LOOPBACK, life=timedelta(hours=-1))
    bus = MemoryBus()
    async with listening_edge(bus, tmp_path, tls_cert=chain, tls_key=key) as server:
        access = Access(f"https://{LOOPBACK}:{port_of(server)}", KEY, (authority.path,))
        for refusal in await refusal_of(access):
            assert refusal.code == "untrusted_certificate"
            assert "expired" in refusal.message
    await bus.close()


async def test_a_server_without_tls_is_told_from_nobody(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with listening_edge(bus, tmp_path) as plain:
        for refusal in await refusal_of(Access(f"https://{LOOPBACK}:{port_of(plain)}", KEY)):
            assert refusal.code == "tls_failed"
    await bus.close()


async def test_plain_http_is_not_spoken_where_tls_is(server: EdgeServer) -> None:
    async with connected(port_of(server)) as client:
        await client.say(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not (await client.rest()).startswith(b"HTTP")


async def test_old_versions_of_tls_are_not_spoken(server: EdgeServer, authority: Authority) -> None:
    old = trusting(authority)
    # OpenSSL's own level would refuse them first.
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with connected(port_of(server), old):
            pass


async def test_a_handshake_that_is_never_finished_is_cut_off(server: EdgeServer) -> None:
    async with connected(port_of(server)) as client:
        await client.say(b"\x16\x03\x01")
        assert await client.rest() == b""


async def test_a_renewed_certificate_is_used_and_sockets_stay_open(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "Old Authority"), Authority(tmp_path, "New Authority")
    chain, key = old.issue(LOOPBACK)
    certificate = Certificate(chain, key)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, LOOPBACK, 0, ssl=certificate.context) as listening:
        port: int = listening.sockets[0].getsockname()[1]
        async with connected(port, trusting(old)) as open_before:
            assert not certificate.renew()
            fresh = new.issue(LOOPBACK, name="fresh")
            shutil.copyfile(fresh[0], chain)
            assert not certificate.renew()  # its key is still the old one
            async with connected(port, trusting(old)):
                pass
            shutil.copyfile(fresh[1], key)
            assert certificate.renew()
            with pytest.raises(ssl.SSLCertVerificationError):
                async with connected(port, trusting(old)):
                    pass
            async with connected(port, trusting(new)):
                pass
            await open_before.say(b"still here\n")
            assert await open_before.rest() == b"still here\n"
        os.unlink(key)
        assert not certificate.renew()


async def test_files_that_change_again_while_they_are_read_are_used_as_they_were_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Authority(tmp_path, "Old Authority"), Authority(tmp_path, "New Authority")
    chain, key = old.issue(LOOPBACK)
    certificate = Certificate(chain, key)
    new.issue(LOOPBACK)
    load = ssl.SSLContext.load_cert_chain

    def load_and_write(self: ssl.SSLContext, certfile: Path, keyfile: Path, password: object) -> None:
        load(self, certfile, keyfile)
        shutil.copyfile(old.issue(LOOPBACK, name="third")[1], key)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_and_write)
    assert certificate.renew()
    monkeypatch.undo()
    async with await asyncio.start_server(hang_up, LOOPBACK, 0, ssl=certificate.context) as listening:
        port: int = listening.sockets[0].getsockname()[1]
        async with connected(port, trusting(new)):
            assert not certificate.renew()
        async with connected(port, trusting(new)):
            pass


def test_files_that_stay_wrong_are_told_of_once(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    chain, key = authority.issue(LOOPBACK)
    certificate = Certificate(chain, key)
    chain.write_text("half")
    assert [certificate.renew() for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1


async def test_one_who_is_refused_over_tls_and_does_not_leave_is_cut_off(
    tmp_path: Path, authority: Authority
) -> None:
    chain, key = authority.issue(LOOPBACK)
    tls = trusting(authority)

    def knock(port: int) -> ssl.SSLSocket:
        return tls.wrap_socket(socket.create_connection((LOOPBACK, port)), server_hostname=LOOPBACK)

    bus = MemoryBus()
    async with (
        listening_edge(bus, tmp_path, tls_cert=chain, tls_key=key, gateway_connections=1) as server,
        connected(port_of(server), tls),
    ):
        with await asyncio.to_thread(knock, port_of(server)):
            await until(lambda: server.guard.connections.refused["total"] == 1)
            await until(lambda: len(server.server_state.connections) == 1)
    await bus.close()


@pytest.mark.parametrize("text", ["", "no certificate"])
def test_files_that_are_no_certificate_are_named(tmp_path: Path, authority: Authority, text: str) -> None:
    _, key = authority.issue(LOOPBACK)
    broken = tmp_path / "broken.pem"
    broken.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.pem"):
        Certificate(broken, key)
    with pytest.raises(OSError, match="missing"):
        Certificate(tmp_path / "missing.pem", key)


def test_a_key_with_a_password_is_named(tmp_path: Path, authority: Authority) -> None:
    chain, key = authority.issue(LOOPBACK)
    locked = serialization.BestAvailableEncryption(b"password")
    opened = serialization.load_pem_private_key(key.read_bytes(), None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    key.write_bytes(opened.private_bytes(*form, locked))
    with pytest.raises(ValueError, match=r"gateway\.key.*password"):
        Certificate(chain, key)


async def test_hsts_is_told_over_tls_by_name_only(server: EdgeServer, authority: Authority) -> None:
    for host, is_told in ((b"chat.example.org", True), (b"127.0.0.1", False)):
        async with connected(port_of(server), trusting(authority)) as client:
            await client.say(b"GET /api/users/me HTTP/1.1\r\n" + KEYED.replace(b"gateway", host) + b"\r\n")
            status, head = await client.head()
            assert (status, b"strict-transport-security" in head) == (200, is_told)
    await until(lambda: len(server.guard.connections) == 0)
