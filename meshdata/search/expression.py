"""Arithmetic over the columns of an aggregate, for what is computed here and not in the module; pure.

The part of the module's expression language that people use: `@name`, numbers, 'text', + - * / % ^, comparisons, && ||
!, brackets, and the functions of `_FUNCTIONS`.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from meshdata.errors import QueryInvalid


def _number(value: Any) -> float:
    """So that neither "a" * 10**9 nor 10**10**10 is ever worked out."""
    if isinstance(value, int | float):
        return value
    raise TypeError(value)


_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: lambda a, b: _number(a) * _number(b),
    ast.Div: operator.truediv,
    ast.Mod: math.fmod,
    ast.Pow: lambda a, b: math.pow(_number(a), _number(b)),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "abs": abs,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "upper": lambda text: str(text).upper(),
    "lower": lambda text: str(text).lower(),
    "strlen": lambda text: len(str(text)),
    "startswith": lambda text, start: str(text).startswith(start),
    "contains": lambda text, part: str(text).count(part),
    "to_number": float,
    "to_str": str,
    "minute": lambda s: math.floor(s / 60) * 60,
    "hour": lambda s: math.floor(s / 3600) * 3600,
    "day": lambda s: math.floor(s / 86400) * 86400,
}
_TEXT = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_COLUMN = re.compile(r"@(\w+)")


def columns_of(text: str, *, required: bool = False) -> list[str]:
    """The columns an expression names; `required`: only those without which it has no value."""
    plain = "".join(part for part in _TEXT.split(text) if part[:1] not in ("'", '"'))
    if required:
        plain = re.sub(r"exists\s*\(\s*@\w+\s*\)", "", plain)
    return list(dict.fromkeys(_COLUMN.findall(plain)))


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The expression with its columns under other names."""
    parts = _TEXT.split(text)
    for at in range(0, len(parts), 2):
        parts[at] = _COLUMN.sub(lambda found: f"@{names.get(found[1], found[1])}", parts[at])
    return "".join(parts)


def compile_expression(text: str) -> Callable[[Mapping[str, Any]], Any]:
    """Make a function of a row; a column that is None makes the whole None.

    Raises:
        QueryInvalid: it is no such expression.
    """
    parts = _TEXT.split(text)
    for at in range(0, len(parts), 2):
        part = _COLUMN.sub(r"\1", parts[at]).replace("&&", " and ").replace("||", " or ").replace("^", "**")
        parts[at] = re.sub(r"!(?!=)", " not ", part)
    try:
        tree = ast.parse("".join(parts).strip(), mode="eval").body
        _check(tree)
    except (SyntaxError, ValueError) as problem:
        raise QueryInvalid(f"{text!r} cannot be computed here, outside the module: {problem}") from problem

    def value(row: Mapping[str, Any]) -> Any:
        try:
            found = _value(tree, row)
        except (TypeError, ValueError, ArithmeticError):
            return None
        return found if not isinstance(found, float) or found == found else None

    return value


def _check(node: ast.AST) -> None:
    match node:
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            _check(left)
            _check(right)
        case ast.Compare(left, [op], [right]) if type(op) in _BINARY:
            _check(left)
            _check(right)
        case ast.BoolOp(_, values):
            for part in values:
                _check(part)
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            _check(operand)
        case ast.Call(ast.Name("exists"), [ast.Name()], []):
            pass
        case ast.Call(ast.Name(name), arguments, []) if name in _FUNCTIONS:
            for part in arguments:
                _check(part)
        case ast.Name() | ast.Constant(int() | float() | str()):
            pass
        case _:
            raise ValueError(f"only columns, numbers, operators and {', '.join(_FUNCTIONS)} are")


def _value(node: ast.AST, row: Mapping[str, Any]) -> Any:
    match node:
        case ast.BinOp(left, op, right):
            return _BINARY[type(op)](_value(left, row), _value(right, row))
        case ast.Compare(left, [op], [right]):
            return _BINARY[type(op)](_value(left, row), _value(right, row))
        case ast.BoolOp(ast.And(), values):
            return all(_value(part, row) for part in values)
        case ast.BoolOp(_, values):
            return any(_value(part, row) for part in values)
        case ast.UnaryOp(ast.Not(), operand):
            return not _value(operand, row)
        case ast.UnaryOp(_, operand):
            return -_value(operand, row)
        case ast.Call(ast.Name("exists"), [ast.Name(name)], []):
            return row.get(name) is not None
        case ast.Call(ast.Name(name), arguments, []):
            return _FUNCTIONS[name](*(_value(part, row) for part in arguments))
        case ast.Name(name):
            if name not in row:
                raise QueryInvalid(f"@{name} is no column of this aggregate; there are {', '.join(row)}")
            return row[name]
        case ast.Constant(constant):
            return constant
    raise AssertionError("unreachable: _check has seen the whole expression")
