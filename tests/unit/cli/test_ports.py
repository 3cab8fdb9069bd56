"""Which ports a stack gets."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from parley_cli.exits import CliError
from parley_cli.supervisor.ports import PortBook, is_free, require_free


def listen_on(port: int) -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def test_ports_are_remembered_from_start_to_start(tmp_path: Path) -> None:
    first = PortBook(tmp_path / "ports.json")
    given = {name: first.port(name) for name in ("nats", "redis", "llm")}
    first.save()
    second = PortBook(tmp_path / "ports.json")
    assert {name: second.port(name) for name in ("llm", "redis", "nats")} == given


def test_a_remembered_port_that_is_taken_moves_and_takes_nobody_elses(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    (tmp_path / "ports.json").write_text(f'{{"nats": {port}, "redis": {port + 1}}}')
    with listen_on(port):
        moved = PortBook(tmp_path / "ports.json").port("nats")
    assert moved not in (port, port + 1)


def test_no_two_names_get_the_same_port(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    names = ["nats", "redis", "gateway", "gateway-2", "gateway-3", "llm"]
    assert len({book.port(name) for name in names}) == len(names)


def test_a_damaged_port_book_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("[1, 2")
    assert is_free(PortBook(tmp_path / "ports.json").port("nats"))


def test_a_taken_public_port_is_one_sentence_with_the_port_and_the_setting(
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    with listen_on(port), pytest.raises(CliError) as caught:
        require_free(port, "PARLEY_PORT")
    assert f"Port {port} is taken" in caught.value.message
    assert "PARLEY_PORT" in caught.value.message
