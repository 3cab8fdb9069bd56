"""Names mean something, subjects are spelled once, and every ignore says why."""

import pytest

from tests.architecture.ignores import ignores_without_reason
from tests.architecture.names import drawers, empty_class_names
from tests.architecture.source_tree import made_tree, real_tree
from tests.architecture.spelled_subjects import spelled_subjects
from tests.architecture.verdict import expect_none

PLACE = "services/x/parley_x/y.py"
PREFIX = ".".join(("parley", "v1"))
START = ".".join(("turn", "start"))


def test_no_module_is_a_drawer() -> None:
    expect_none(drawers(real_tree()))


def test_no_class_name_ends_in_a_word_without_meaning() -> None:
    expect_none(empty_class_names(real_tree()))


def test_no_subject_is_spelled_outside_its_module() -> None:
    expect_none(spelled_subjects(real_tree()))


def test_every_ignore_says_why() -> None:
    expect_none(ignores_without_reason(real_tree()))


@pytest.mark.parametrize(
    "path",
    ["libs/a/utils.py", "services/x/parley_x/shared/y.py", "tests/unit/http_helpers.py", "tools/base.py"],
)
def test_a_drawer_is_found(path: str) -> None:
    assert len(drawers(made_tree({path: ""}))) == 1


@pytest.mark.parametrize("path", ["libs/a/knowledge_base.py", "services/x/parley_x/database.py"])
def test_a_name_that_only_holds_the_letters_of_a_drawer_is_fine(path: str) -> None:
    assert drawers(made_tree({path: ""})) == []


@pytest.mark.parametrize("name", ["TurnManager", "BusHelper", "BusImpl"])
def test_an_empty_class_name_is_found(name: str) -> None:
    assert empty_class_names(made_tree({PLACE: f"class {name}:\n    pass"})) == [f"{PLACE}:1: {name}"]


@pytest.mark.parametrize(
    "line",
    [
        f"x = '{PREFIX}.anything'",
        f"x = '{START}'",
        f"x = f'{{PREFIX}}.{START}'",
        f"x = f'{PREFIX}.{{name}}'",
        f"x = '{PREFIX}'",
        "x = f'{}'".format(".".join(("turn", "events")) + ".{home}.*"),
    ],
)
def test_a_spelled_subject_is_found(line: str) -> None:
    assert len(spelled_subjects(made_tree({PLACE: line}))) == 1


@pytest.mark.parametrize(
    "line",
    [
        f'"""Handles `{START}`."""',
        f"Field(description='Stored on `{START}`, once.')",
        "log = getLogger('parley.gateway')",
        "path = 'turn.started'",
        "path = 'health.json'",
    ],
)
def test_prose_and_other_dotted_names_are_fine(line: str) -> None:
    assert spelled_subjects(made_tree({PLACE: line})) == []


@pytest.mark.parametrize(
    "line",
    [
        "import x  # noqa",
        "import x  # noqa: F401",
        "import x  # noqa: F401, E402",
        "import x  # noqa: F401 -",
        "x = y  # type: ignore[attr-defined]",
        "x = y  # noqa: SLF001 - the reason stands here  # pyright: ignore[reportPrivateUsage]",
        "# pyright: reportUnknownMemberType=false\nimport x",
    ],
)
def test_an_ignore_without_a_reason_is_found(line: str) -> None:
    assert len(ignores_without_reason(made_tree({PLACE: line}))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "import x  # noqa: F401 - loaded for its effect",
        "x = y  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - a test looks inside",
        "# The library has no types.\n# pyright: reportUnknownMemberType=false\nimport x",
        "# pyright: reportX=false, reportY=false\n# pyright: reportZ=false\n# Reason: no types.",
        "x = '# noqa'",
    ],
)
def test_an_ignore_with_its_reason_is_fine(line: str) -> None:
    assert ignores_without_reason(made_tree({PLACE: line})) == []
