"""The table of roles and permissions: everything is explained, and nothing is lost on the way up."""

from itertools import pairwise

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import (
    MEANINGS,
    PERMISSIONS,
    Permission,
    Role,
    effective,
    may_manage,
    require,
)


def test_every_role_has_permissions_and_every_permission_a_meaning() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert set(MEANINGS) == set(Permission)
    assert all(meaning.endswith(".") for meaning in MEANINGS.values())


def test_each_role_has_more_than_the_one_below_and_an_owner_all() -> None:
    for lower, higher in pairwise(Role):
        assert PERMISSIONS[lower] < PERMISSIONS[higher]
    assert PERMISSIONS[Role.OWNER] == set(Permission)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_what_is_not_in_the_table_is_forbidden(role: Role, permission: Permission) -> None:
    for scopes in (None, tuple(Permission), (permission,), (), (Permission.TURNS_WRITE,)):
        is_allowed = permission in PERMISSIONS[role] and (scopes is None or permission in scopes)
        assert (permission in effective(role, scopes)) is is_allowed
        if is_allowed:
            require(role, permission, scopes)
            continue
        with pytest.raises(ParleyError) as refused:
            require(role, permission, scopes)
        assert refused.value.code is ErrorCode.FORBIDDEN


def test_who_may_manage_whom() -> None:
    managed = {role: [other.value for other in Role if may_manage(role, other)] for role in Role}
    assert managed == {
        Role.GUEST: [],
        Role.MEMBER: ["guest"],
        Role.ADMIN: ["guest", "member"],
        Role.OWNER: ["guest", "member", "admin", "owner"],
    }
