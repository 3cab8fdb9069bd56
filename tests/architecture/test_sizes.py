"""Modules and functions stay small and flat; each limit is shown to bite."""

from collections.abc import Callable

from tests.architecture.sizes import (
    FUNCTION_LINES,
    MAIN_LINES,
    MODULE_LINES,
    NOTED,
    NOTED_FUNCTION_LINES,
    NOTED_MODULE_LINES,
    deep_functions,
    long_functions,
    long_mains,
    long_modules,
)
from tests.architecture.source_tree import PRODUCT, Source, made_tree, real_tree, within
from tests.architecture.verdict import expect_none

AT_THE_LIMIT = """
async def f(x):
    async with x:
        for y in x:
            while y:
                if y:
                    return 1
                elif x:
                    return 2
                else:
                    return 3

    def g():
        if x:
            return 4
"""
ABOVE = AT_THE_LIMIT.replace(
    "return 1", "match y:\n                        case 1:\n                            pass"
)


def tree(text: str, path: str = "services/x/parley_x/y.py") -> tuple[Source, ...]:
    return made_tree({path: text})


def test_no_module_is_too_long(record_property: Callable[[str, object], None]) -> None:
    for line in long_modules(within(real_tree(), PRODUCT), NOTED_MODULE_LINES):
        record_property(NOTED, line)
    expect_none(long_modules(real_tree()))


def test_no_function_is_too_long(record_property: Callable[[str, object], None]) -> None:
    for line in long_functions(within(real_tree(), PRODUCT), NOTED_FUNCTION_LINES):
        record_property(NOTED, line)
    expect_none(long_functions(real_tree()))


def test_no_function_is_nested_too_deep() -> None:
    expect_none(deep_functions(real_tree()))


def test_what_starts_a_service_only_composes() -> None:
    expect_none(long_mains(real_tree()))


def test_a_module_that_is_too_long_is_found() -> None:
    assert long_modules(tree("x = 1\n" * MODULE_LINES)) == []
    assert long_modules(tree("x = 1\n" * (MODULE_LINES + 1))) == ["services/x/parley_x/y.py: 401 lines"]


def test_a_function_that_is_too_long_is_found() -> None:
    assert long_functions(tree("@cache\ndef f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1))) == []
    found = long_functions(tree("class X:\n    def f():\n" + "        x = 1\n" * FUNCTION_LINES))
    assert found == ["services/x/parley_x/y.py:2: f has 61 lines"]


def test_a_function_that_is_too_deep_is_found() -> None:
    assert deep_functions(tree(AT_THE_LIMIT)) == []
    assert deep_functions(tree(ABOVE)) == ["services/x/parley_x/y.py:2: f is nested 5 deep"]


def test_a_long_main_of_a_service_is_found() -> None:
    text = "x = 1\n" * (MAIN_LINES + 1)
    assert len(long_mains(tree(text, "services/x/parley_x/__main__.py"))) == 1
    assert long_mains(tree(text, "services/x/parley_x/other.py")) == []
