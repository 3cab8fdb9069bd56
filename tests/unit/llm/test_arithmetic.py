"""Arithmetic for models: exact where it can be, bounded everywhere, and no way to anything else."""

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tool_calls import CallTool
from parley_llm.arithmetic import calculate
from parley_llm.tools import answer_calculate


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * -4", "-20"),
        ("0.1 + 0.2", "0.3"),
        ("7 / 2", "3.5"),
        ("8 / 2", "4"),
        ("7 // 2", "3"),
        ("-7 % 3", "2"),
        ("2 ^ 10", "1024"),
        ("2 ** -1", "0.5"),
        ("123456789012345678901234567890 * 10", "1234567890123456789012345678900"),
        ("sqrt(16)", "4"),
        ("round(2.567, 2)", "2.57"),
        ("round(2.5)", "2"),
        ("sum(1, 2, 3.5)", "6.5"),
        ("max(3, 9, 4) - min(3, 9, 4)", "6"),
        ("cos(pi)", "-1"),
        ("abs(-3)", "3"),
        ("1e3 * 1_000", "1000000"),
    ],
)
def test_an_expression_comes_to_what_it_is(expression: str, told: str) -> None:
    assert calculate(expression) == told


HOSTILE = {
    "an import": "__import__('os').system('true')",
    "an attribute": "(1).__class__",
    "an attribute of a function": "sqrt.__globals__",
    "a comprehension": "[x for x in (1,)]",
    "a lambda": "(lambda: 1)()",
    "a walrus": "(a := 1)",
    "a string": "'a' * 10",
    "a list": "[1] * 10",
    "a truth": "True + 1",
    "a comparison": "1 < 2",
    "an imaginary number": "1j",
    "an unknown name": "x + 1",
    "an unknown function": "open(1)",
    "a call with a name": "round(number=1)",
    "a star": "max(*(1, 2))",
    "a format": "f'{1}'",
    "no expression": "import os",
    "nothing": "   ",
    "two lines": "1\n2",
    "a null byte": "1\x00",
}
TOO_MUCH = {
    "a power of powers": "9 ** 9 ** 9",
    "a large power": "10 ** 100000",
    "a power of a large number": "(10 ** 1000) ** 1000",
    "many products": " * ".join(["(10 ** 1000)"] * 20),
    "a float beyond all": "1e308 * 10",
    "a float power": "10.0 ** 400",
    "an exponential": "exp(1000)",
    "digits without end": "round(5, -1000000000)",
    "too many characters": "1" * 1001,
    "too many signs": "-" * 999 + "1",
    "too deep": "(" * 490 + "1" + ")" * 490,
    "deep calls": "abs(" * 100 + "1" + ")" * 100,
}
NO_VALUE = {"a zero": "1 / 0", "a remainder of zero": "1 % 0", "a root": "sqrt(-1)", "a power": "(-8) ** 0.5"}


@pytest.mark.parametrize("expression", [*HOSTILE.values(), *TOO_MUCH.values(), *NO_VALUE.values()],
                         ids=[*HOSTILE, *TOO_MUCH, *NO_VALUE])  # fmt: skip
def test_anything_else_is_refused_in_words(expression: str) -> None:
    with pytest.raises(ParleyError) as caught:
        calculate(expression)
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_REQUEST, "expression")


def call(arguments: str) -> CallTool:
    return CallTool(
        owner_id="ada", turn_id="t", call_id="c", name="calculate", arguments=arguments, deadline_ms=0
    )


async def test_the_tool_tells_what_an_expression_comes_to() -> None:
    assert (await answer_calculate(call('{"expression": "6 * 7"}'))).text == "42"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{}", "expression: is missing"),
        ('{"expression": 1}', "expression: should be a valid string"),
        ('{"expression": "1", "precision": 2}', "precision: is not known here"),
    ],
    ids=["none", "another kind", "one more"],
)
async def test_arguments_that_do_not_fit_are_refused_by_name(arguments: str, told: str) -> None:
    with pytest.raises(ParleyError) as caught:
        await answer_calculate(call(arguments))
    assert caught.value.message == told
