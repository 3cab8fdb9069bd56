"""`parley accounts` as its users meet it: steps until a rotation is done, and refusals in words."""

import json
from typing import Any

import httpx
import pytest
from parley_cli.app import build_app
from typer.testing import CliRunner, Result

KEK, DATA_KEY = "rotate-kek", "rotate-data-key"
PATHS = {KEK: "/api/admin/kek/rotate", DATA_KEY: "/api/admin/data-key/rotate"}


def run(
    monkeypatch: pytest.MonkeyPatch, answers: list[tuple[int, Any]], *options: str, word: str = KEK
) -> tuple[Result, Any]:
    words = ["accounts", word]
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", PATHS[word])
        asked.append(json.loads(request.content or b"null"))
        status, body = answers[len(asked) - 1]
        return httpx.Response(status, json=body)

    client = httpx.AsyncClient

    def scripted(**options: Any) -> httpx.AsyncClient:
        options["transport"] = httpx.MockTransport(answer)
        return client(**options)

    monkeypatch.setattr(httpx, "AsyncClient", scripted)
    environment = {"PARLEY_URL": "http://there", "PARLEY_API_KEY": "k", "COLUMNS": "200"}
    return CliRunner().invoke(build_app(words), [*words, *options], env=environment), asked


def step(resealed: int, left: int) -> tuple[int, dict[str, Any]]:
    return 200, {"key_name": "ab12", "resealed": resealed, "left": left, "is_done": left == 0}


def test_steps_are_taken_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    done, asked = run(monkeypatch, [step(200, 250), step(200, 50), step(50, 0)])
    assert (done.exit_code, done.stdout) == (0, "450 secrets are sealed by the key ab12.\n")
    assert asked == [{"begins": True}, {"begins": False}, {"begins": False}]


def test_programs_are_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    done, _ = run(monkeypatch, [step(2, 0)], "--json")
    assert json.loads(done.stdout) == {"key_name": "ab12", "resealed": 2}


def test_a_refusal_is_said_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"code": "conflict", "message": "PARLEY_KEK is the present key: set another one."}
    refused, _ = run(monkeypatch, [(409, {"error": error})])
    assert refused.exit_code == 1
    assert "set another one" in refused.stderr


def test_another_data_key_is_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[int, Any]] = [(200, {"key_id": "00ab" * 4, "keys": 3})]
    done, asked = run(monkeypatch, answers, word=DATA_KEY)
    assert (done.exit_code, asked) == (0, [None])
    assert done.stdout == "The data key 00ab00ab00ab00ab seals from now on; 2 more still open.\n"


def test_programs_are_told_of_another_data_key(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[int, Any]] = [(200, {"key_id": "00ab" * 4, "keys": 3})]
    done, _ = run(monkeypatch, answers, "--json", word=DATA_KEY)
    assert json.loads(done.stdout) == {"key_id": "00ab00ab00ab00ab", "keys": 3}
