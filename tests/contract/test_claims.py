"""Every message that names an owner, off the catalogue: refused unless the right claims come with it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from parley_contracts import subjects
from parley_contracts.accounts import ListUsers, PrincipalRequest
from parley_contracts.catalogue import CHANNELS
from parley_contracts.channel import Channel, ChannelKind
from parley_contracts.claims import Acting, ClaimsFault, ClaimsKeys, RefusedClaimsError
from parley_contracts.errors import ErrorCode
from parley_contracts.headers import CLAIMS
from parley_contracts.llm import GenerateJob
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.policy import PERMISSIONS, Permission, Role, effective
from parley_contracts.service_requests import OUR_TOOLS
from parley_contracts.subject_permissions import HIDDEN, NEEDS, SYSTEM, TURN_SUBJECTS, area_of
from parley_contracts.tool_calls import CallTool
from parley_contracts.turns import StartTurn
from parley_identity import create_claims_keys
from parley_identity.bus_claims import Signer
from parley_messaging.acting import acting_for, system_of
from parley_messaging.claims_desk import ClaimsDesk

from tests.claims import GATEWAY_KEY, RAG_KEY, keys_of
from tests.contract.made_messages import made

TURN_COMMANDS = (StartTurn, GenerateJob)


def owned_message(channel: Channel) -> type[OwnedRequest] | None:
    """Return what is asked or ordered on a channel for an owner; events tell what has happened."""
    if channel.kind not in (ChannelKind.REQUEST, ChannelKind.COMMAND):
        return None
    return next((one for one in channel.messages if issubclass(one, OwnedRequest)), None)


OWNED = {one.pattern: message for one in CHANNELS if (message := owned_message(one))}
OF_TURNS = {one.pattern for one in CHANNELS if any(message in TURN_COMMANDS for message in one.messages)}


def test_every_subject_that_names_an_owner_says_what_it_needs() -> None:
    assert set(NEEDS) >= set(OWNED) | OF_TURNS
    assert set(TURN_SUBJECTS) == OF_TURNS
    assert {subject for listed in SYSTEM.values() for subject in listed} <= set(NEEDS)
    assert {subject for subject, needed in NEEDS.items() if not needed} <= SYSTEM["gateway"]
    assert set(HIDDEN) <= set(NEEDS)


def test_a_subject_that_is_not_listed_is_refused_to_everybody(keys: "Keys") -> None:
    request = OwnedRequest(owner_id="ada")
    owner = keys.gateway.sign(Acting("ada", Role.OWNER), "rag")
    fault = keys.fault(f"{subjects.PREFIX}.rag.new_one", request, owner)
    assert fault == (ClaimsFault.NOT_PERMITTED, ErrorCode.FORBIDDEN)


@dataclass(frozen=True)
class Keys:
    """The keys of an installation."""

    gateway: Signer
    rag: Signer
    desk: ClaimsDesk

    def fault(
        self, subject: str, request: WireModel, said: str | None
    ) -> tuple[ClaimsFault, ErrorCode] | None:
        """Return why a request is refused, and what is told; None when it is let pass."""
        try:
            self.desk.check(subject, request, {CLAIMS: said} if said else {})
        except RefusedClaimsError as error:
            return error.fault, error.code
        return None


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder: Path = tmp_path_factory.mktemp("claims")
    create_claims_keys(folder)
    return Keys(Signer(folder / GATEWAY_KEY), Signer(folder / RAG_KEY), ClaimsDesk(keys_of(folder)))


def one_message(message: type[OwnedRequest]) -> OwnedRequest:
    """Return one message of a type, the same at each run."""
    found: list[OwnedRequest] = []

    @settings(
        max_examples=1,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(st.data())
    def make(data: st.DataObject) -> None:
        found.append(data.draw(made(message)))

    make()
    return found[0]


Sign = Callable[[Acting], str]


def asking(request: OwnedRequest, role: Role, scopes: tuple[Permission, ...] | None) -> OwnedRequest:
    """Return a request as somebody sends it who has these rights."""
    if not isinstance(request, PrincipalRequest):
        return request
    return request.model_copy(update={"role": role, "scopes": scopes})


@pytest.mark.parametrize("subject", sorted(OWNED))
def test_the_claims_of_a_request_decide(keys: Keys, subject: str) -> None:
    """Each role, with and without the permission: no claims, another's, another subject's, the right ones."""
    made_one = one_message(OWNED[subject]).model_copy(update={"owner_id": "ada"})
    area, needed = area_of(subject), set(NEEDS[subject])
    cases = 0
    for role in Role:
        for scopes in (None, tuple(sorted(PERMISSIONS[role] - needed))):
            acting = Acting("ada", role, scopes)
            request = asking(made_one, role, scopes)
            sign = keys.gateway.sign
            nobodys = (ClaimsFault.OTHER_OWNER, ErrorCode.FORBIDDEN)
            assert keys.fault(subject, request, None) == (ClaimsFault.MISSING, ErrorCode.FORBIDDEN)
            assert keys.fault(subject, request, sign(replace(acting, owner_id="eva"), area)) == nobodys
            others = keys.fault(subject, request, sign(acting, "elsewhere"))
            assert others == (ClaimsFault.OTHER_SUBJECT, ErrorCode.FORBIDDEN)
            told = HIDDEN[subject].code if subject in HIDDEN else ErrorCode.FORBIDDEN
            may = bool(effective(role, scopes) & needed)
            expected = None if may else (ClaimsFault.NOT_PERMITTED, told)
            assert keys.fault(subject, request, sign(acting, area)) == expected, (role, scopes)
            cases += 4
    assert cases == len(Role) * 2 * 4


def test_what_groups_add_counts_where_claims_say_so_and_no_further(keys: Keys) -> None:
    subject, granted = subjects.ACCOUNTS_LIST_USERS, (Permission.USERS_READ,)
    said = ListUsers(owner_id="ada", role=Role.GUEST, granted=granted)
    claimed = keys.gateway.sign(Acting("ada", Role.GUEST, granted=granted), "accounts")
    unclaimed = keys.gateway.sign(Acting("ada", Role.GUEST), "accounts")
    narrowed = keys.gateway.sign(Acting("ada", Role.GUEST, scopes=(), granted=granted), "accounts")
    refused = (ClaimsFault.NOT_PERMITTED, ErrorCode.FORBIDDEN)
    assert keys.fault(subject, said, claimed) is None
    assert keys.fault(subject, said, unclaimed) == refused
    assert keys.fault(subject, said, narrowed) == refused
    more = said.model_copy(update={"granted": (*granted, Permission.USERS_WRITE)})
    assert keys.fault(subject, more, claimed) == refused


@pytest.mark.parametrize("subject", sorted(OWNED))
def test_a_service_acts_of_its_own_accord_only_on_what_is_listed_for_it(keys: Keys, subject: str) -> None:
    request = asking(one_message(OWNED[subject]).model_copy(update={"owner_id": "ada"}), Role.GUEST, None)
    for name, signer in (("gateway", keys.gateway), ("rag", keys.rag)):
        fault = keys.fault(subject, request, signer.sign(system_of("ada"), area_of(subject)))
        assert (fault is None) == (subject in SYSTEM[name]), (name, fault)


@pytest.mark.parametrize("subject", sorted(OF_TURNS))
def test_the_commands_of_a_turn_carry_its_own_claims(keys: Keys, subject: str) -> None:
    def fault(acting: Acting, good_for: tuple[str, ...] = TURN_SUBJECTS) -> ClaimsFault | None:
        said = keys.gateway.sign_lasting(acting, good_for)
        try:
            keys.desk.check_turn(subject, "ada", "t1", {CLAIMS: said})
        except RefusedClaimsError as error:
            return error.fault
        return None

    own = Acting("ada", Role.GUEST, turn_id="t1")
    assert fault(own) is None
    assert fault(replace(own, turn_id="t2")) is ClaimsFault.OTHER_TURN
    assert fault(replace(own, turn_id=None)) is ClaimsFault.OTHER_TURN
    assert fault(replace(own, owner_id="eva")) is ClaimsFault.OTHER_OWNER
    assert fault(replace(own, scopes=(Permission.DOCUMENTS_READ,))) is ClaimsFault.NOT_PERMITTED
    assert fault(own, (subjects.MEMORY_READ_HISTORY,)) is ClaimsFault.OTHER_SUBJECT


def test_what_a_tool_is_sent_is_good_for_that_tool_alone(keys: Keys) -> None:
    call = one_message(CallTool).model_copy(update={"owner_id": "ada"})
    weather = subjects.outside_tool_call("weather", "today")
    sender = ClaimsDesk(ClaimsKeys(keys.gateway, None))
    with acting_for(Acting("ada", Role.MEMBER)):
        said = sender.of_request(weather, call)[CLAIMS]
    assert keys.fault(weather, call, said) is None
    others = (subjects.outside_tool_call("weather", "tomorrow"), subjects.outside_tool_call("shop", "today"))
    for subject in (*others, subjects.TOOL_CALCULATE, subjects.RAG_SEARCH, subjects.ALL_SUBMITS):
        assert keys.fault(subject, call, said) == (ClaimsFault.OTHER_SUBJECT, ErrorCode.FORBIDDEN)


@pytest.mark.parametrize(("tool", "needs"), [(s, NEEDS[s]) for tools in OUR_TOOLS.values() for s in tools])
def test_a_tool_of_ours_is_called_only_for_who_may_do_what_it_does(
    keys: Keys, tool: str, needs: tuple[Permission, ...]
) -> None:
    call = one_message(CallTool).model_copy(update={"owner_id": "ada"})
    without = tuple(one for one in Permission if one not in needs)
    for scopes, fault in ((needs, None), (without, (ClaimsFault.NOT_PERMITTED, ErrorCode.FORBIDDEN))):
        said = keys.gateway.sign(Acting("ada", Role.OWNER, tuple(scopes)), tool)
        assert keys.fault(tool, call, said) == fault
