"""Arithmetic over the columns of an aggregate, for answers that are merged here and not in the module; pure.

The part of the module's expression language that needs no functions: `@name`, numbers, + - * / %, comparisons, && ||
and brackets.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from meshdata.errors import QueryInvalid

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def compile_expression(text: str) -> Callable[[Mapping[str, Any]], Any]:
    """Make a function of a row; a column that is None makes the whole None.

    Raises:
        QueryInvalid: it is no such expression.
    """
    source = re.sub(r"@(\w+)", r"\1", text).replace("&&", " and ").replace("||", " or ").strip()
    try:
        tree = ast.parse(source, mode="eval").body
        _check(tree)
    except (SyntaxError, ValueError) as problem:
        raise QueryInvalid(f"{text!r} cannot be computed over several partitions: {problem}") from problem

    def value(row: Mapping[str, Any]) -> Any:
        try:
            return _value(tree, row)
        except (TypeError, ZeroDivisionError):
            return None

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
        case ast.UnaryOp(ast.USub(), operand):
            _check(operand)
        case ast.Name() | ast.Constant(int() | float() | str()):
            pass
        case _:
            raise ValueError("only columns, numbers, + - * / %, comparisons, && and || are")


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
        case ast.UnaryOp(_, operand):
            return -_value(operand, row)
        case ast.Name(name):
            if name not in row:
                raise QueryInvalid(f"@{name} is no column of this aggregate; there are {', '.join(row)}")
            return row[name]
        case ast.Constant(constant):
            return constant
    raise AssertionError("unreachable: _check has seen the whole expression")
