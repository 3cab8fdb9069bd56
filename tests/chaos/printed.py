"""What a run of this folder prints: which test speaks, then its table."""


def print_row(row: str) -> None:
    """Print at once: a whole run takes minutes."""
    print(row, flush=True)  # noqa: T201 - the tables are what these runs are for


def print_table(title: str, *parts: str) -> None:
    """Print a title and what follows it."""
    print_row("\n".join(["", title, *parts]))
