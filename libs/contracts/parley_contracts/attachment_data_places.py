"""Where something of a user stands because he sent files with what he asked, a part of the places."""

from parley_contracts.data_place import DataPlace, Ending, table_place

ATTACHMENT_PLACES: tuple[DataPlace, ...] = (
    table_place(
        "memory",
        "attachments",
        "names and data of files that he has sent to models",
        Ending.ERASED,
        user_column="owner_id",
        is_exported=True,
    ),
    table_place(
        "memory",
        "message_attachments",
        "which file he sent with which question",
        Ending.ERASED,
        user_column="owner_id",
        is_exported=True,
    ),
    table_place(
        "memory",
        "removals",
        "ids of files that are being removed",
        Ending.ERASED,
        user_column="owner_id",
        why="Ids only.",
    ),
)
