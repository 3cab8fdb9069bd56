"""Where a user logs in from: a digest of network and kind of client, and a notice when it is a new one."""

import hashlib
import re
from ipaddress import ip_address, ip_network

from parley_contracts.notices import NoticeFacts, NoticeKind
from parley_storage import Database
from sqlalchemy import Connection, delete, select

from parley_accounts.clock import Clock, unix_ms
from parley_accounts.notices.notices import Notices
from parley_accounts.notices.tables import places

MAX_PLACES = 50
"""How many are known of a user; the one unused longest is forgotten."""
KEPT_MS = 180 * 86_400_000
_NUMBERS = re.compile(r"[0-9]+(?:[._][0-9]+)*")


def network_of(address: str | None) -> str | None:
    """Return the network of an address: an IPv4 /24 or an IPv6 /48; None for what is none."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None) or found
    return str(ip_network((mapped, 24 if mapped.version == 4 else 48), strict=False))


def place_of(user_id: str, client: str, network: str | None) -> str:
    """Return a digest; a client's new version is no new place."""
    kind = _NUMBERS.sub("", client)
    return hashlib.sha256(f"{user_id}\n{network}\n{kind}".encode(errors="surrogatepass")).hexdigest()


class Places:
    """Notes each login, in its transaction."""

    def __init__(self, database: Database, told: Notices, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._notices = told
        self._clock = clock

    def note(
        self, connection: Connection, user_id: str, *, session_id: str, client: str, address: str | None
    ) -> None:
        """Note a login of a user, whose row is locked; his first place is not a new one."""
        now_ms, network = self._clock(), network_of(address)
        of_user = places.c.user_id == user_id
        connection.execute(delete(places).where(of_user, places.c.last_seen_at_ms < now_ms - KEPT_MS))
        latest = select(places.c.place).where(of_user).order_by(places.c.last_seen_at_ms.desc())
        known = connection.execute(latest).scalars().all()
        place = place_of(user_id, client, network)
        row = self._database.insert(places).values(user_id=user_id, place=place, last_seen_at_ms=now_ms)
        seen = row.on_conflict_do_update(
            index_elements=["user_id", "place"], set_={"last_seen_at_ms": now_ms}
        )
        connection.execute(seen)
        if known and place not in known:
            if surplus := known[MAX_PLACES - 1 :]:
                connection.execute(delete(places).where(of_user, places.c.place.in_(surplus)))
            facts = NoticeFacts(session_id=session_id, network=network)
            self._notices.add(connection, user_id, NoticeKind.LOGIN_NEW_PLACE, facts)
