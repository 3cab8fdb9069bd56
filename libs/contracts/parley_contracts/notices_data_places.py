"""Where something of a user stands because he was told of something, a part of the places."""

from parley_contracts.data_place import DataPlace, Ending, table_place

NOTICE_PLACES: tuple[DataPlace, ...] = (
    table_place(
        "accounts",
        "notices",
        "what he was told, with ids",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    table_place(
        "accounts",
        "notice_settings",
        "in which ways he is told",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    table_place(
        "accounts",
        "webhooks",
        "URLs of his own, with sealed secrets",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
        hidden=("sealed_secret", "sealed_old_secret"),
    ),
    table_place(
        "accounts",
        "deliveries",
        "what of his notices and invitations was mailed or posted, and to which address",
        Ending.ERASED,
        user_column="user_id",
        why="His notices, webhooks and invitations are exported.",
    ),
    table_place(
        "accounts",
        "places",
        "digests of where he logged in from",
        Ending.ERASED,
        user_column="user_id",
        why="Digests: they say nothing to anybody.",
    ),
    table_place(
        "accounts",
        "refused_logins",
        "how often his password was wrong in a row",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    table_place(
        "accounts",
        "expiring_keys",
        "which keys he was told of that they expire",
        Ending.WITH_PARENT,
        why="Ids of keys, which are exported.",
    ),
    table_place(
        "accounts",
        "forgotten_passwords",
        "names as they were typed by who asked for a link",
        Ending.EXPIRES,
        why="Gone when the name has been looked up: seconds.",
    ),
    table_place("accounts", "read_events", "up to where a stream was read", Ending.IMPERSONAL),
)
