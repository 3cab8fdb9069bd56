"""Exports and erasures over HTTP, before the real accounts, memory and rag services in one process."""

import io
import json
import zipfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.data_rights import EraseUser
from parley_contracts.policy import Role
from parley_gateway.turn_erasure import TurnErasure
from parley_messaging.pen import Pen

from tests.unit.gateway.http_edge import until_refused
from tests.unit.gateway.whole_edge import TEXT, Visitor, WholeEdge, open_whole_edge


@pytest.fixture
async def whole(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[WholeEdge]:
    async with open_whole_edge(tmp_path, accounts_file) as opened:
        erasure = TurnErasure(opened.bus, Pen(opened.bus), opened.edge.stopper)
        opened.bus.answer(subjects.TURN_ERASE_USER, EraseUser, erasure.erase)
        yield opened


async def work(whole: WholeEdge) -> None:
    """Work on all jobs, as long as an erasure takes."""
    accounts = whole.entered.accounts
    for _ in range(5):
        while await accounts.parts.data_rights.runner.run_due():
            continue
        accounts.clock.advance(40)


async def jobs(whole: WholeEdge, who: Visitor, path: str = "/api/account/data-jobs") -> list[dict[str, Any]]:
    response = await whole.client.get(path, headers=who.headers)
    assert response.status_code == 200, response.text
    return response.json()["jobs"]


async def test_an_export_holds_what_the_services_keep_and_is_for_its_user_only(whole: WholeEdge) -> None:
    ada, bob = await whole.visitor(Role.MEMBER, "ada"), await whole.visitor(Role.OWNER, "bob")
    things = await whole.things_of(ada, ("conversation_id", "document_id", "bot_id"))
    made = await whole.client.post("/api/account/exports", headers=ada.headers)
    assert (made.status_code, made.json()["state"]) == (202, "waiting")
    again = await whole.client.post("/api/account/exports", headers=ada.headers)
    assert again.json()["id"] == made.json()["id"]
    path = f"/api/account/exports/{made.json()['id']}/file"
    assert (await whole.client.get(path, headers=ada.headers)).status_code == 404
    while await whole.entered.accounts.parts.data_rights.runner.run_due():
        continue
    file = await whole.client.get(path, headers=ada.headers)
    assert file.headers["content-type"] == "application/zip"
    assert file.headers["cache-control"] == "no-store"
    assert file.headers["content-disposition"].startswith('attachment; filename="parley-export-')
    assert int(file.headers["content-length"]) == len(file.content)
    archive = zipfile.ZipFile(io.BytesIO(file.content))
    messages = [json.loads(line) for line in archive.read("memory_messages.jsonl").splitlines()]
    assert {one["text"] for one in messages} == {"A secret.", "An answer."}
    assert archive.read(f"documents/{things['document_id']}/notes.txt") == TEXT
    assert things["bot_id"] in archive.read("accounts_bots.jsonl").decode()
    part = await whole.client.get(path, headers={**ada.headers, "Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"PK\x03\x04")
    for other in (bob.headers, {}):
        refused = await whole.client.get(path, headers=other)
        never = await whole.client.get("/api/account/exports/never-was/file", headers=other)
        assert refused.status_code == never.status_code == (404 if other else 401)


async def test_an_erasure_by_a_fresh_login_ends_all_at_once_and_then_for_good(
    whole: WholeEdge,
) -> None:
    ada, owner = await whole.visitor(Role.MEMBER, "ada"), await whole.visitor(Role.OWNER, "olga")
    await whole.things_of(ada)
    user_id = ada.user.id
    taken = await whole.client.post("/api/account/erasure", headers=ada.headers, json={})
    assert (taken.status_code, taken.json()["kind"]) == (202, "erasure")
    await until_refused(whole.client, ada.headers)
    await work(whole)
    (report,) = [
        job["report"]
        for job in await jobs(whole, owner, f"/api/admin/users/{user_id}/data-jobs")
        if job["kind"] == "erasure" and job["state"] == "done"
    ]
    assert report["counts"]["memory"]["memory_messages"] == 2
    assert report["counts"]["rag"]["rag_documents"] == 1
    assert report["counts"]["accounts"]["accounts_users"] == 1
    assert (await whole.client.get(f"/api/admin/users/{user_id}", headers=owner.headers)).status_code == 404
    assert not [key for key in whole.bus.objects.kept if user_id in key]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"password": "not it"}, 401, "password"),
        ({"password": ""}, 400, "password"),
        ({"pasword": "x"}, 400, "pasword"),
        ({"password": 5}, 400, "password"),
    ],
    ids=["wrong", "empty", "slip", "number"],
)
async def test_what_is_wrong_with_an_erasure_is_told_by_its_field_and_nothing_is_done(
    whole: WholeEdge, body: dict[str, Any], status: int, field: str
) -> None:
    ada = await whole.visitor(Role.MEMBER, "ada")
    refused = await whole.client.post("/api/account/erasure", headers=ada.headers, json=body)
    assert (refused.status_code, refused.json()["error"]["field"]) == (status, field)
    assert await jobs(whole, ada) == []


async def test_an_admin_erases_by_the_name_of_a_lower_role_and_reads_the_report(whole: WholeEdge) -> None:
    admin, ada = await whole.visitor(Role.ADMIN, "ann"), await whole.visitor(Role.MEMBER, "ada")
    path = f"/api/admin/users/{ada.user.id}"
    wrong = await whole.client.post(f"{path}/erasure", headers=admin.headers, json={"name": "adam"})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "name")
    asked = await whole.client.post(f"{path}/export", headers=admin.headers)
    assert (asked.status_code, asked.json()["user_id"]) == (202, ada.user.id)
    taken = await whole.client.post(f"{path}/erasure", headers=admin.headers, json={"name": "ada"})
    assert taken.status_code == 202, taken.text
    await work(whole)
    states = {job["kind"]: job["state"] for job in await jobs(whole, admin, f"{path}/data-jobs")}
    assert states == {"erasure": "done", "export": "failed"}
    never = await whole.client.get("/api/admin/users/never-was/data-jobs", headers=admin.headers)
    assert never.status_code == 404
    own = f"/api/admin/users/{admin.user.id}/erasure"
    refused = await whole.client.post(own, headers=admin.headers, json={"name": "ann"})
    assert refused.status_code == 403
