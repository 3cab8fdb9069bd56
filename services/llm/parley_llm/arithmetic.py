"""What an arithmetic expression comes to: its own small language, nothing is executed, everything bounded."""

import ast
import math
import operator
from collections.abc import Callable, Mapping

from parley_contracts.errors import ErrorCode, ParleyError

Number = int | float

MAX_CHARS = 1_000
MAX_NODES = 300
MAX_DEPTH = 50
MAX_BITS = 4_096
"""Of a whole number; what is larger is no number that anybody reads, and may take long to multiply."""
MAX_DIGITS = 300

_BINARY: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda one, other: one / other,
    ast.FloorDiv: lambda one, other: one // other,
    ast.Mod: operator.mod,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_OF_ONE: Mapping[str, Callable[[float], Number]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "ln": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "floor": math.floor,
    "ceil": math.ceil,
    "radians": math.radians,
    "degrees": math.degrees,
    "abs": abs,
}
_OF_MANY: Mapping[str, Callable[[list[Number]], Number]] = {"min": min, "max": max, "sum": sum}
FUNCTIONS = (*_OF_ONE, *_OF_MANY, "round")


def calculate(expression: str) -> str:
    """Return what an expression comes to, as a number in figures.

    Raises:
        ParleyError: `invalid_request`: what is wrong with it, for the model that wrote it.
    """
    if len(expression) > MAX_CHARS:
        raise _fault(f"at most {MAX_CHARS:,} characters.")
    try:
        # People write powers with a caret; there are no bits here that it could mean.
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _fault("that is no arithmetic expression.") from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise _fault("too long.")
    try:
        return _figures(_value(tree.body, 0))
    except ZeroDivisionError:
        raise _fault("a division by zero.") from None
    except OverflowError:
        raise _fault("the result is too large.") from None
    except (ValueError, TypeError):
        raise _fault("it has no real value.") from None


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise _fault("too deeply nested.")
    match node:
        case ast.Constant(value=bool()):
            raise _fault("only numbers are calculated with.")
        case ast.Constant(value=int() | float() as value):
            return _bounded(value)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, depth + 1))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left, depth + 1), _value(right, depth + 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_BINARY[type(op)](_value(left, depth + 1), _value(right, depth + 1)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _bounded(_called(name, [_value(one, depth + 1) for one in arguments]))
        case _:
            raise _fault(f"numbers, + - * / // % **, ( ), pi, e, tau and {', '.join(FUNCTIONS)} alone.")


def _called(name: str, arguments: list[Number]) -> Number:
    if name in _OF_ONE and len(arguments) == 1:
        return _OF_ONE[name](arguments[0])
    if name in _OF_MANY and arguments:
        return _OF_MANY[name](arguments)
    if name == "round" and len(arguments) in (1, 2):
        digits = int(arguments[1]) if len(arguments) == 2 else 0
        if abs(digits) > MAX_DIGITS:
            raise _fault(f"at most {MAX_DIGITS} digits.")
        return round(arguments[0], digits) if digits else round(arguments[0])
    raise _fault(f"{name} is none of {', '.join(FUNCTIONS)}, or takes other arguments.")


def _power(base: Number, exponent: Number) -> Number:
    """Return a power; one whose figures alone would take long is not begun."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        if base.bit_length() * exponent > MAX_BITS:
            raise _fault("the result is too large.")
        return base**exponent
    return _bounded(float(base) ** float(exponent))


def _bounded(value: Number | complex) -> Number:
    if isinstance(value, complex):
        raise _fault("it has no real value.")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise _fault("the result is too large.")
    if isinstance(value, float) and not math.isfinite(value):
        raise OverflowError
    return value


def _figures(value: Number) -> str:
    if isinstance(value, float):
        # 0.1 + 0.2 is 0.3 to whoever asks.
        value = float(f"{value:.15g}")
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def _fault(message: str) -> ParleyError:
    return ParleyError(ErrorCode.INVALID_REQUEST, f"expression: {message}", field="expression")
