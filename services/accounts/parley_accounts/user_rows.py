"""Makes the row of a user, and says which passwords and names are good enough for one."""

import secrets

from parley_contracts.accounts import UserState
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_storage import Database
from sqlalchemy import Connection

from parley_accounts.acting import UserRow, find_user
from parley_accounts.common_passwords import is_common
from parley_accounts.login_names import folded
from parley_accounts.tables import users


def insert_user(
    connection: Connection,
    database: Database,
    *,
    name: str,
    email: str | None,
    display_name: str,
    role: Role,
    password_hash: str | None,
    now_ms: int,
) -> UserRow:
    """Make a user of a normal name and address; `conflict` when somebody has one of them."""
    user_id = secrets.token_hex(16)
    row = database.insert(users).values(
        id=user_id,
        name=name,
        email=email,
        display_name=display_name.strip() or name,
        role=role,
        state=UserState.ACTIVE,
        password_hash=password_hash,
        created_at_ms=now_ms,
    )
    connection.execute(row.on_conflict_do_nothing())
    made = find_user(connection, user_id)
    if made is None:
        raise ParleyError(ErrorCode.CONFLICT, "The name or the e-mail address is taken.", field="name")
    return made


def require_good_password(password: str, *, fewest_chars: int, names: tuple[str | None, ...]) -> None:
    """Raise `invalid_request` for a password that is short, one of the first guessed, or its user's name."""
    if len(password) < fewest_chars:
        message = f"password: at least {fewest_chars} characters."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="password")
    if is_common(password):
        message = "password: one that is not among the first to be guessed."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="password")
    if folded(password) in names:
        message = "password: not one's own name or address."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="password")
