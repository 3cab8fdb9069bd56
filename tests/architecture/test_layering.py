"""Service -> messaging and the other libs -> contracts; the rule is shown to bite on trees that break it."""

import pytest

from tests.architecture.layering import layering_faults
from tests.architecture.source_tree import made_tree, real_tree
from tests.architecture.verdict import expect_none

CONTRACTS = "libs/contracts/parley_contracts/subjects.py"
MESSAGING = "libs/messaging/parley_messaging/bus.py"
STORAGE = "libs/storage/parley_storage/database.py"
EGRESS = "libs/egress/parley_egress/posting.py"
IDENTITY = "libs/identity/parley_identity/access_token.py"
SERVICE = "services/gateway/parley_gateway/handlers.py"
MAKER = "tools/parley_models/parley_models/reference.py"
COMMAND = "tools/parley_cli/parley_cli/commands/events.py"


def test_the_project_is_layered() -> None:
    expect_none(layering_faults(real_tree()))


def test_the_project_that_is_looked_at_is_not_empty() -> None:
    paths = {source.path.as_posix() for source in real_tree()}
    assert {CONTRACTS, MESSAGING, SERVICE, "tools/parley_cli/parley_cli/__main__.py"} <= paths


def test_contracts_that_import_a_service_are_found() -> None:
    tree = made_tree({CONTRACTS: "import re\n\nfrom parley_gateway.turn_door import TurnDoor\n"})
    assert layering_faults(tree) == [
        f"{CONTRACTS}:3: contracts import only the standard library and Pydantic (parley_gateway.turn_door)"
    ]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (CONTRACTS, "import parley_messaging"),
        (CONTRACTS, "import httpx"),
        (MESSAGING, "from parley_gateway import app"),
        (MESSAGING, "import parley_cli"),
        (MESSAGING, "from parley_storage import Database"),
        (STORAGE, "from parley_messaging import Bus"),
        (STORAGE, "import nats"),
        (IDENTITY, "from parley_messaging import Bus"),
        (IDENTITY, "from parley_accounts.tables import users"),
        (MESSAGING, "from parley_identity.access_token import AccessTokenVerifier"),
        (EGRESS, "from parley_messaging import Bus"),
        (EGRESS, "from parley_browser.proxy import open_proxy"),
        (SERVICE, "import parley_rag.searching as searching"),
        (SERVICE, "from parley_cli.app import app"),
        (SERVICE, "import nats"),
        (SERVICE, "from faststream.nats import NatsBroker"),
        (SERVICE, "def late():\n    from nats.js import JetStreamContext"),
        (SERVICE, "import importlib\nimportlib.import_module('parley_memory.tables')"),
        (SERVICE, "try:\n    from parley_llm import worker\nexcept ImportError:\n    pass"),
        (COMMAND, "from parley_npu.fetch import fetch"),
        (COMMAND, "from nats.aio.client import Client"),
        (MAKER, "from parley_rag.settings import RagSettings"),
        (MAKER, "from parley_cli.app import app"),
        (MAKER, "import nats"),
        ("tools/measure.py", "import parley_rag"),
        ("libs/tracing/parley_tracing/spans.py", "import parley_gateway"),
    ],
)
def test_an_import_that_goes_up_or_sideways_is_found(path: str, line: str) -> None:
    assert len(layering_faults(made_tree({path: line}))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (
            CONTRACTS,
            "import json\nfrom pydantic_core import to_json\nfrom parley_contracts.model import WireModel",
        ),
        (
            MESSAGING,
            "import nats\nfrom faststream.nats import NatsBroker\nfrom parley_contracts import subjects",
        ),
        (
            SERVICE,
            "import fastapi\nfrom parley_messaging import Bus\nfrom parley_gateway.app import create_app",
        ),
        (STORAGE, "import sqlalchemy\nfrom parley_contracts.errors import ParleyError"),
        (SERVICE, "from parley_storage import Database"),
        (IDENTITY, "import jwt\nfrom parley_contracts.credentials import AccessClaims"),
        (SERVICE, "from parley_identity import AccessTokenVerifier"),
        (EGRESS, "import h11\nfrom parley_contracts.errors import ParleyError"),
        (SERVICE, "from parley_egress import Poster"),
        (COMMAND, "import typer\nfrom parley_contracts import subjects\nfrom parley_messaging import Bus"),
        (MAKER, "import onnx\nfrom parley_npu.graph import write_graph\nfrom parley_models import rknn_file"),
        ("tests/unit/rag/test_x.py", "import parley_rag\nimport parley_npu\nimport nats"),
    ],
)
def test_an_import_that_goes_down_is_fine(path: str, line: str) -> None:
    assert layering_faults(made_tree({path: line})) == []
