"""Every function of the mapping language, by tables: what it is given, what it gives.

The expected values are those of an ECMAScript engine, but for what the reference family documents and does otherwise.
"""

import copy
import math
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from meshdata.graph.pipes import FAMILIES, find, most_arguments
from meshdata.graph.pipes.values import UNDEFINED as U
from meshdata.graph.pipes.values import PipeError, own_keys

NAN, INF = math.nan, math.inf


class ERROR:
    """Stands for a refusal."""


TABLE: list[tuple[str, list[Any], Any]] = [
    # --- array
    ("array.get", [[1, 2, 3], 1], 2),
    ("array.get", [[1, 2, 3], U], 1),
    ("array.get", [[1, 2, 3], -1], U),
    ("array.get", [[1, 2, 3], 9], U),
    ("array.get", ["abc", 1], "b"),
    ("array.get", [{"a": 1}, "a"], 1),
    ("array.get", [None, 1], U),
    ("array.get", [U, 1], U),
    ("array.length", [[1, 2]], 2),
    ("array.length", ["abc"], 3),
    ("array.length", [None], U),
    ("array.length", [{}], U),
    ("array.concat", [[1], [2, [3]]], [1, 2, [3]]),
    ("array.concat", [[1], 2], [1, 2]),
    ("array.concat", [[], None], [None]),
    ("array.indexOf", [[1, 2, 1], 1], 0),
    ("array.indexOf", [[1, 2, 1], 1, 1], 2),
    ("array.indexOf", [[1, 2], "1"], -1),
    ("array.indexOf", [[1, 2, 3], 3, -1], 2),
    ("array.indexOf", [[True, 1], 1], 1),
    ("array.indexOf", [[NAN], NAN], -1),
    ("array.lastIndexOf", [[1, 2, 1], 1], 2),
    ("array.lastIndexOf", [[1, 2, 1], 1, 1], 0),
    ("array.lastIndexOf", [[1, 2], 3], -1),
    ("array.lastIndexOf", [[1, 2, 1], 1, -2], 0),
    ("array.lastIndexOf", [[1, 2, 1], 1, -9], -1),
    ("array.join", [[1, None, "a", U, True]], "1,,a,,true"),
    ("array.join", [[1, 2], "-"], "1-2"),
    ("array.join", [[], "-"], ""),
    ("array.join", [[[1, 2], 3], ";"], "1,2;3"),
    ("array.join", [[1.5, {"a": 1}]], "1.5,[object Object]"),
    ("array.push", [[1], 2, 3], [1, 2, 3]),
    ("array.push", [[1]], [1]),
    ("array.pop", [[1, 2]], 2),
    ("array.pop", [[]], U),
    ("array.shift", [[1, 2]], 1),
    ("array.shift", [[]], U),
    ("array.unshift", [[1], 2, 3], 3),
    ("array.reverse", [[1, 2, 3]], [3, 2, 1]),
    ("array.slice", [[1, 2, 3, 4], 1, 3], [2, 3]),
    ("array.slice", [[1, 2, 3, 4], -2], [3, 4]),
    ("array.slice", [[1, 2, 3]], [1, 2, 3]),
    ("array.slice", [[1, 2, 3], 2, 1], []),
    ("array.slice", [[1, 2, 3], 0, -1], [1, 2]),
    ("array.sort", [[3, 1, 2]], [1, 2, 3]),
    ("array.sort", [[3, 1, 2], "DESCENDING"], [3, 2, 1]),
    ("array.sort", [[2, None, 1]], [None, 1, 2]),
    ("array.sort", [[2, None, 1], "DESCENDING"], [2, 1, None]),
    ("array.sort", [["b", "a", "c"]], ["a", "b", "c"]),
    ("array.sort", [[10, 9, 1]], [1, 9, 10]),
    ("array.sort", [[U, 2, 1]], [1, 2, U]),
    ("array.sort", [["b", "A", "a", "B"]], ["a", "A", "b", "B"]),
    ("array.splice", [[1, 2, 3, 4], 1, 2], [2, 3]),
    ("array.splice", [[1, 2, 3], 1], []),
    ("array.splice", [[1, 2, 3], -1, 1, 9], [3]),
    ("array.splice", [[1, 2, 3], 0, 99], [1, 2, 3]),
    # --- bitwise
    ("bitwise.and", [5, 3], 1),
    ("bitwise.or", [5, 3], 7),
    ("bitwise.xor", [5, 3], 6),
    ("bitwise.leftShift", [1, 31], -2147483648),
    ("bitwise.leftShift", [1, 32], 1),
    ("bitwise.leftShift", [5, U], 5),
    ("bitwise.rightShift", [-8, 1], -4),
    ("bitwise.rightShift", [8, 33], 4),
    ("bitwise.unsignedRightShift", [-1, 0], 4294967295),
    ("bitwise.unsignedRightShift", [-8, 1], 2147483644),
    ("bitwise.and", [U, 3], 0),
    ("bitwise.or", [4294967297, 0], 1),
    ("bitwise.xor", ["6", 3], 5),
    ("bitwise.or", [1.9, 0], 1),
    ("bitwise.or", [-1.9, 0], -1),
    ("bitwise.or", [NAN, 4], 4),
    ("bitwise.or", [INF, 4], 4),
    ("bitwise.or", [2147483648, 0], -2147483648),
    # --- conditional
    ("conditional.ternary", [0, "a", "b"], "b"),
    ("conditional.ternary", [1, "a", "b"], "a"),
    ("conditional.ternary", ["", "a", "b"], "b"),
    ("conditional.ternary", [" ", "a", "b"], "a"),
    ("conditional.ternary", ["0", "a", "b"], "a"),
    ("conditional.ternary", [None, "a", "b"], "b"),
    ("conditional.ternary", [U, "a", "b"], "b"),
    ("conditional.ternary", [NAN, "a", "b"], "b"),
    ("conditional.ternary", [False, "a", "b"], "b"),
    ("conditional.ternary", [True, "a", "b"], "a"),
    ("conditional.ternary", [[], "a", "b"], "a"),
    ("conditional.ternary", [{}, "a", "b"], "a"),
    ("conditional.ternary", [0.0, "a", "b"], "b"),
    ("conditional.ternary", [-1, "a", "b"], "a"),
    ("conditional.equality", ["1", 1], True),
    ("conditional.equality", [1, 1], True),
    ("conditional.equality", [1, 1.0], True),
    ("conditional.equality", [None, U], True),
    ("conditional.equality", [0, ""], True),
    ("conditional.equality", [0, None], False),
    ("conditional.equality", [False, 0], True),
    ("conditional.equality", [True, 1], True),
    ("conditional.equality", [True, "1"], True),
    ("conditional.equality", ["a", "a"], True),
    ("conditional.equality", [NAN, NAN], False),
    ("conditional.equality", [[1], "1"], True),
    ("conditional.equality", [{}, "[object Object]"], True),
    ("conditional.equality", [[], ""], True),
    ("conditional.equality", [[], 0], True),
    ("conditional.equality", [[1], [1]], False),
    ("conditional.equality", [U, U], True),
    ("conditional.equality", ["", None], False),
    ("conditional.equality", [" ", 0], True),
    ("conditional.equality", ["1.0", 1], True),
    ("conditional.strict_equality", ["1", 1], False),
    ("conditional.strict_equality", [1, 1], True),
    ("conditional.strict_equality", [1, 1.0], True),
    ("conditional.strict_equality", [None, U], False),
    ("conditional.strict_equality", [0, ""], False),
    ("conditional.strict_equality", [0, None], False),
    ("conditional.strict_equality", [False, 0], False),
    ("conditional.strict_equality", [True, 1], False),
    ("conditional.strict_equality", [True, "1"], False),
    ("conditional.strict_equality", ["a", "a"], True),
    ("conditional.strict_equality", [NAN, NAN], False),
    ("conditional.strict_equality", [[1], "1"], False),
    ("conditional.strict_equality", [{}, "[object Object]"], False),
    ("conditional.strict_equality", [[], ""], False),
    ("conditional.strict_equality", [[], 0], False),
    ("conditional.strict_equality", [[1], [1]], False),
    ("conditional.strict_equality", [U, U], True),
    ("conditional.strict_equality", ["", None], False),
    ("conditional.strict_equality", [" ", 0], False),
    ("conditional.strict_equality", ["1.0", 1], False),
    ("conditional.inequality", ["1", 1], False),
    ("conditional.inequality", [1, 1], False),
    ("conditional.inequality", [1, 1.0], False),
    ("conditional.inequality", [None, U], False),
    ("conditional.inequality", [0, ""], False),
    ("conditional.inequality", [0, None], True),
    ("conditional.inequality", [False, 0], False),
    ("conditional.inequality", [True, 1], False),
    ("conditional.inequality", [True, "1"], False),
    ("conditional.inequality", ["a", "a"], False),
    ("conditional.inequality", [NAN, NAN], True),
    ("conditional.inequality", [[1], "1"], False),
    ("conditional.inequality", [{}, "[object Object]"], False),
    ("conditional.inequality", [[], ""], False),
    ("conditional.inequality", [[], 0], False),
    ("conditional.inequality", [[1], [1]], True),
    ("conditional.inequality", [U, U], False),
    ("conditional.inequality", ["", None], True),
    ("conditional.inequality", [" ", 0], False),
    ("conditional.inequality", ["1.0", 1], False),
    ("conditional.strict_inequality", ["1", 1], True),
    ("conditional.strict_inequality", [1, 1], False),
    ("conditional.strict_inequality", [1, 1.0], False),
    ("conditional.strict_inequality", [None, U], True),
    ("conditional.strict_inequality", [0, ""], True),
    ("conditional.strict_inequality", [0, None], True),
    ("conditional.strict_inequality", [False, 0], True),
    ("conditional.strict_inequality", [True, 1], True),
    ("conditional.strict_inequality", [True, "1"], True),
    ("conditional.strict_inequality", ["a", "a"], False),
    ("conditional.strict_inequality", [NAN, NAN], True),
    ("conditional.strict_inequality", [[1], "1"], True),
    ("conditional.strict_inequality", [{}, "[object Object]"], True),
    ("conditional.strict_inequality", [[], ""], True),
    ("conditional.strict_inequality", [[], 0], True),
    ("conditional.strict_inequality", [[1], [1]], True),
    ("conditional.strict_inequality", [U, U], False),
    ("conditional.strict_inequality", ["", None], True),
    ("conditional.strict_inequality", [" ", 0], True),
    ("conditional.strict_inequality", ["1.0", 1], True),
    ("conditional.greater_than", [1, 2], False),
    ("conditional.greater_than", [2, 1], True),
    ("conditional.greater_than", [1, 1], False),
    ("conditional.greater_than", ["b", "a"], True),
    ("conditional.greater_than", ["10", "9"], False),
    ("conditional.greater_than", ["10", 9], True),
    ("conditional.greater_than", [None, 0], False),
    ("conditional.greater_than", [None, -1], True),
    ("conditional.greater_than", [U, 1], False),
    ("conditional.greater_than", [1, U], False),
    ("conditional.greater_than", ["a", 1], False),
    ("conditional.greater_than", [True, 0], True),
    ("conditional.greater_than", [INF, 1], True),
    ("conditional.greater_than", [[2], 1], True),
    ("conditional.greater_than", ["", "a"], False),
    ("conditional.less_than", [1, 2], True),
    ("conditional.less_than", [2, 1], False),
    ("conditional.less_than", [1, 1], False),
    ("conditional.less_than", ["b", "a"], False),
    ("conditional.less_than", ["10", "9"], True),
    ("conditional.less_than", ["10", 9], False),
    ("conditional.less_than", [None, 0], False),
    ("conditional.less_than", [None, -1], False),
    ("conditional.less_than", [U, 1], False),
    ("conditional.less_than", [1, U], False),
    ("conditional.less_than", ["a", 1], False),
    ("conditional.less_than", [True, 0], False),
    ("conditional.less_than", [INF, 1], False),
    ("conditional.less_than", [[2], 1], False),
    ("conditional.less_than", ["", "a"], True),
    ("conditional.greater_than_or_equal", [1, 2], False),
    ("conditional.greater_than_or_equal", [2, 1], True),
    ("conditional.greater_than_or_equal", [1, 1], True),
    ("conditional.greater_than_or_equal", ["b", "a"], True),
    ("conditional.greater_than_or_equal", ["10", "9"], False),
    ("conditional.greater_than_or_equal", ["10", 9], True),
    ("conditional.greater_than_or_equal", [None, 0], True),
    ("conditional.greater_than_or_equal", [None, -1], True),
    ("conditional.greater_than_or_equal", [U, 1], False),
    ("conditional.greater_than_or_equal", [1, U], False),
    ("conditional.greater_than_or_equal", ["a", 1], False),
    ("conditional.greater_than_or_equal", [True, 0], True),
    ("conditional.greater_than_or_equal", [INF, 1], True),
    ("conditional.greater_than_or_equal", [[2], 1], True),
    ("conditional.greater_than_or_equal", ["", "a"], False),
    ("conditional.less_than_or_equal", [1, 2], True),
    ("conditional.less_than_or_equal", [2, 1], False),
    ("conditional.less_than_or_equal", [1, 1], True),
    ("conditional.less_than_or_equal", ["b", "a"], False),
    ("conditional.less_than_or_equal", ["10", "9"], True),
    ("conditional.less_than_or_equal", ["10", 9], False),
    ("conditional.less_than_or_equal", [None, 0], True),
    ("conditional.less_than_or_equal", [None, -1], False),
    ("conditional.less_than_or_equal", [U, 1], False),
    ("conditional.less_than_or_equal", [1, U], False),
    ("conditional.less_than_or_equal", ["a", 1], False),
    ("conditional.less_than_or_equal", [True, 0], False),
    ("conditional.less_than_or_equal", [INF, 1], False),
    ("conditional.less_than_or_equal", [[2], 1], False),
    ("conditional.less_than_or_equal", ["", "a"], True),
    ("conditional.nullish", [None, 1], 1),
    ("conditional.nullish", [U, 1], 1),
    ("conditional.nullish", [0, 1], 0),
    ("conditional.nullish", ["", 1], ""),
    ("conditional.nullish", [False, 1], False),
    # --- json
    ("json.stringify", [{"a": 1, "b": [1, None, "x"], "c": True}], '{"a":1,"b":[1,null,"x"],"c":true}'),
    ("json.stringify", [{"a": U, "b": NAN, "c": INF}], '{"b":null,"c":null}'),
    ("json.stringify", [[U, 1]], "[null,1]"),
    ("json.stringify", ['é"\n'], '"é\\"\\n"'),
    ("json.stringify", [1.0], "1"),
    ("json.stringify", [1e21], "1e+21"),
    ("json.stringify", [1e-07], "1e-7"),
    ("json.stringify", [None], "null"),
    ("json.stringify", [U], U),
    (
        "json.stringify",
        [{"a": [1, {"b": 2}], "e": [], "o": {}}, None, 2],
        '{\n  "a": [\n    1,\n    {\n      "b": 2\n    }\n  ],\n  "e": [],\n  "o": {}\n}',
    ),
    ("json.stringify", [{"a": 1, "b": 2}, ["a"]], '{"a":1}'),
    ("json.stringify", [{"a": 1}, None, "--"], '{\n--"a": 1\n}'),
    ("json.stringify", [{"b": 1, "10": 2, "9": 3}], '{"9":3,"10":2,"b":1}'),
    ("json.stringify", [0.1], "0.1"),
    ("json.stringify", [123456789012345680000], "123456789012345680000"),
    ("json.parse", ['{"a":[1,2.5,null,true]}'], {"a": [1, 2.5, None, True]}),
    ("json.parse", ['"x"'], "x"),
    ("json.parse", ["1e3"], 1000.0),
    ("json.parse", ["{bad"], ERROR),
    ("json.parse", [""], ERROR),
    ("json.parse", ["NaN"], ERROR),
    # --- logical
    ("logical.and", [1, 2], 2),
    ("logical.and", [0, 2], 0),
    ("logical.and", ["", 2], ""),
    ("logical.and", [None, 2], None),
    ("logical.and", [U, 2], U),
    ("logical.and", [[], 2], 2),
    ("logical.or", ["", 5], 5),
    ("logical.or", [0, None], None),
    ("logical.or", [1, 5], 1),
    ("logical.or", [[], 5], []),
    ("logical.or", [False, U], U),
    # --- unary
    ("unary.not", [0], True),
    ("unary.not", ["a"], False),
    ("unary.not", [[]], False),
    ("unary.not", [U], True),
    ("unary.positive", [""], 0),
    ("unary.positive", ["abc"], NAN),
    ("unary.positive", [None], 0),
    ("unary.positive", [U], NAN),
    ("unary.positive", ["12"], 12),
    ("unary.positive", [True], 1),
    ("unary.positive", [[5]], 5),
    ("unary.positive", [[1, 2]], NAN),
    ("unary.positive", ["0x1f"], 31),
    ("unary.positive", [" 4 "], 4),
    ("unary.positive", ["1e3"], 1000),
    ("unary.positive", ["Infinity"], INF),
    ("unary.positive", ["-Infinity"], -INF),
    ("unary.positive", ["inf"], NAN),
    ("unary.positive", ["1_000"], NAN),
    ("unary.negative", [5], -5),
    ("unary.negative", ["5"], -5),
    ("unary.negative", ["a"], NAN),
    ("unary.bitwise_not", [5], -6),
    ("unary.bitwise_not", [-1], 0),
    ("unary.bitwise_not", [U], -1),
    ("unary.bitwise_not", [4294967296], -1),
    # --- number
    ("number.isFinite", [1], True),
    ("number.isFinite", ["1"], False),
    ("number.isFinite", [INF], False),
    ("number.isFinite", [True], False),
    ("number.isInteger", [1], True),
    ("number.isInteger", [1.0], True),
    ("number.isInteger", [1.5], False),
    ("number.isInteger", ["1"], False),
    ("number.isNaN", ["abc"], False),
    ("number.isNaN", [NAN], True),
    ("number.isNaN", [U], False),
    ("number.isEven", [2], True),
    ("number.isEven", [3], False),
    ("number.isEven", ["4"], True),
    ("number.isEven", [None], True),
    ("number.isEven", [""], True),
    ("number.isEven", [U], False),
    ("number.isEven", [2.5], False),
    ("number.isOdd", [3], True),
    ("number.isOdd", [2], False),
    ("number.isOdd", [-3], True),
    ("number.isOdd", [U], False),
    ("number.isOdd", [None], False),
    ("number.parseFloat", ["3.14abc"], 3.14),
    ("number.parseFloat", ["  -2.5e2x"], -250),
    ("number.parseFloat", ["abc"], NAN),
    ("number.parseFloat", [".5"], 0.5),
    ("number.parseFloat", ["1."], 1),
    ("number.parseFloat", ["-Infinityx"], -INF),
    ("number.parseFloat", ["0x10"], 0),
    ("number.parseFloat", [12], 12),
    ("number.parseInt", ["42px"], 42),
    ("number.parseInt", ["0x1F"], 31),
    ("number.parseInt", ["101", 2], 5),
    ("number.parseInt", ["z", 36], 35),
    ("number.parseInt", ["abc"], NAN),
    ("number.parseInt", ["-17.9"], -17),
    ("number.parseInt", ["9", 8], NAN),
    ("number.parseInt", ["  7 "], 7),
    ("number.parseInt", ["1", 1], NAN),
    ("number.parseInt", [U], NAN),
    ("number.parseInt", ["+5"], 5),
    ("number.toFixed", [1.005, 2], "1.00"),
    ("number.toFixed", [2.5, 0], "3"),
    ("number.toFixed", [-2.5, 0], "-3"),
    ("number.toFixed", [1.45, 1], "1.4"),
    ("number.toFixed", [10, 2], "10.00"),
    ("number.toFixed", [1e21, 2], "1e+21"),
    ("number.toFixed", [NAN, 2], "NaN"),
    ("number.toFixed", [1e-06, 7], "0.0000010"),
    ("number.toFixed", [123.456], "123"),
    ("number.toFixed", ["5", 1], "5.0"),
    ("number.toExponential", [12345, 2], "1.23e+4"),
    ("number.toExponential", [0.00015], "1.5e-4"),
    ("number.toExponential", [12345], "1.2345e+4"),
    ("number.toExponential", [0, 2], "0.00e+0"),
    ("number.toExponential", [1], "1e+0"),
    ("number.toExponential", [-1.5, 3], "-1.500e+0"),
    ("number.toPrecision", [123.456, 4], "123.5"),
    ("number.toPrecision", [0.000123, 2], "0.00012"),
    ("number.toPrecision", [1234567, 2], "1.2e+6"),
    ("number.toPrecision", [1.25, 2], "1.3"),
    ("number.toPrecision", [5], "5"),
    ("number.toPrecision", [0, 3], "0.00"),
    ("number.toPrecision", [1e-07, 1], "1e-7"),
    ("number.toPrecision", [99.99, 3], "100"),
    ("number.gte", [1, 1], True),
    ("number.lte", [1, 2], True),
    ("number.gt", ["2", "10"], True),
    ("number.lt", [U, 1], False),
    ("number.max", [1, "5"], 5),
    ("number.min", [], INF),
    ("number.pow", [2, 10], 1024),
    ("number.round", [2.5], 3),
    # --- math
    ("math.add", [], 0),
    ("math.add", [1, 2, 3], 6),
    ("math.add", ["5"], "05"),
    ("math.add", [1, "5"], "15"),
    ("math.add", [1, U], NAN),
    ("math.add", [1, None], 1),
    ("math.add", [0.1, 0.2], 0.30000000000000004),
    ("math.add", [True, 1], 2),
    ("math.subtract", [10, 1, 2], 7),
    ("math.subtract", [[10, 1], 2], 7),
    ("math.subtract", [5], 5),
    ("math.subtract", ["7", "2"], 5),
    ("math.multiply", [2, 3, 4], 24),
    ("math.multiply", [], 1),
    ("math.multiply", ["2", 3], 6),
    ("math.multiply", [U, 2], NAN),
    ("math.multiply", [0, INF], NAN),
    ("math.divide", [10, 2], 5),
    ("math.divide", [10, 4], 2.5),
    ("math.divide", [0, 5], 0),
    ("math.divide", [5, 0], NAN),
    ("math.divide", [[100, 5], 2], 10),
    ("math.divide", ["9", "3"], 3),
    ("math.divide", [INF, INF], NAN),
    ("math.max", [], -INF),
    ("math.max", [1, "5", 3], 5),
    ("math.max", [1, U], NAN),
    ("math.max", [None, -1], 0),
    ("math.min", [], INF),
    ("math.min", [1, "-5"], -5),
    ("math.min", ["a", 1], NAN),
    ("math.round", [2.5], 3),
    ("math.round", [-2.5], -2),
    ("math.round", [0.49999999999999994], 0),
    ("math.round", ["2.4"], 2),
    ("math.round", [U], NAN),
    ("math.round", [-0.2], 0),
    (
        "math.round",
        [1e300],
        1000000000000000052504760255204420248704468581108159154915854115511802457988908195786371375080447864043704443832883878176942523235360430575644792184786706982848387200926575803737830233794788090059368953234970799945081119038967640880074652742780142494579258788820056842838115669472196386865459400540160,
    ),
    ("math.abs", [-5], 5),
    ("math.abs", ["-5"], 5),
    ("math.abs", [None], 0),
    ("math.acos", [1], 0),
    ("math.acos", [2], NAN),
    ("math.acosh", [0.5], NAN),
    ("math.acosh", [1], 0),
    ("math.asin", [2], NAN),
    ("math.atan", [INF], 1.5707963267948966),
    ("math.atan2", [1, 0], 1.5707963267948966),
    ("math.atan2", [0, -1], 3.141592653589793),
    ("math.atanh", [1], INF),
    ("math.atanh", [-1], -INF),
    ("math.atanh", [2], NAN),
    ("math.cbrt", [27], 3.0000000000000004),
    ("math.cbrt", [-8], -2),
    ("math.ceil", [1.2], 2),
    ("math.ceil", [-1.2], -1),
    ("math.ceil", [INF], INF),
    ("math.clz32", [1], 31),
    ("math.clz32", [0], 32),
    ("math.cos", [0], 1),
    ("math.cosh", [1000], INF),
    ("math.exp", [0], 1),
    ("math.exp", [1000], INF),
    ("math.exp", [-1000], 0),
    ("math.expm1", [0], 0),
    ("math.floor", [-1.2], -2),
    ("math.floor", ["3.9"], 3),
    ("math.fround", [5.5], 5.5),
    ("math.fround", [5.05], 5.050000190734863),
    ("math.fround", [1e40], INF),
    ("math.hypot", [3, 4], 5),
    ("math.hypot", [], 0),
    ("math.hypot", [NAN], NAN),
    ("math.imul", [2, 4], 8),
    ("math.imul", [4294967295, 5], -5),
    ("math.imul", [-5, 12], -60),
    ("math.log", [0], -INF),
    ("math.log", [-1], NAN),
    ("math.log", [1], 0),
    ("math.log10", [1000], 3),
    ("math.log1p", [-1], -INF),
    ("math.log2", [8], 3),
    ("math.pow", [2, 0.5], 1.4142135623730951),
    ("math.pow", [-8, 0.3333333333333333], NAN),
    ("math.pow", [0, 0], 1),
    ("math.pow", [1, INF], NAN),
    ("math.pow", [0, -1], INF),
    ("math.pow", [10, 400], INF),
    ("math.pow", [-10, 401], -INF),
    ("math.pow", [U, 0], 1),
    ("math.sign", [-3], -1),
    ("math.sign", [0], 0),
    ("math.sign", ["x"], NAN),
    ("math.sin", [0], 0),
    ("math.sinh", [-1000], -INF),
    ("math.sinh", [1000], INF),
    ("math.sqrt", [16], 4),
    ("math.sqrt", [-1], NAN),
    ("math.tan", [0], 0),
    ("math.tanh", [INF], 1),
    ("math.trunc", [-1.7], -1),
    ("math.trunc", ["8.9"], 8),
    ("math.sin", [INF], NAN),
    # --- object
    ("object.get", [{"a": 1}, "a"], 1),
    ("object.get", [{"a": 1}, "b"], U),
    ("object.get", [None, "a"], U),
    ("object.get", [[7, 8], 1], 8),
    ("object.get", ["ab", "length"], 2),
    ("object.set", [{"a": 1}, "b", 2], {"a": 1, "b": 2}),
    ("object.set", [None, "a", 1], {"a": 1}),
    ("object.set", [[1], 2, 9], [1, U, 9]),
    ("object.create", ["a", 1, "b", 2], {"a": 1, "b": 2}),
    ("object.create", [], {}),
    ("object.create", ["a"], {"a": U}),
    ("object.create", [1, 2], {"1": 2}),
    ("object.keys", [{"b": 1, "2": 1, "a": 1, "1": 1}], ["1", "2", "b", "a"]),
    ("object.keys", [None], []),
    ("object.keys", [[5, 6]], ["0", "1"]),
    ("object.keys", ["ab"], ["0", "1"]),
    ("object.values", [{"b": 1, "1": 2}], [2, 1]),
    ("object.values", [None], []),
    ("object.values", ["ab"], ["a", "b"]),
    ("object.entries", [{"b": 1, "1": 2}], [["1", 2], ["b", 1]]),
    ("object.entries", [U], []),
    ("object.fromEntries", [[["a", 1], ["b", 2]]], {"a": 1, "b": 2}),
    ("object.assign", [{"a": 1}, {"b": 2}, None, {"a": 3}], {"a": 3, "b": 2}),
    ("object.assign", [None, {"a": 1}], {"a": 1}),
    ("object.hasOwnProperty", [{"a": 1}, "a"], True),
    ("object.hasOwnProperty", [{"a": 1}, "b"], False),
    ("object.propertyIsEnumerable", [{"a": 1}, "a"], True),
    ("object.getOwnPropertyNames", [{"a": 1}], ["a"]),
    ("object.freeze", [{"a": 1}], {"a": 1}),
    ("object.isFrozen", [{"a": 1}], False),
    ("object.seal", [{"a": 1}], {"a": 1}),
    ("object.isSealed", [{"a": 1}], False),
    ("object.preventExtensions", [{"a": 1}], {"a": 1}),
    ("object.isExtensible", [{"a": 1}], True),
    ("object.isExtensible", [1], False),
    ("object.isPrototypeOf", [{}, {}], False),
    (
        "object.getOwnPropertyDescriptor",
        [{"a": 1}, "a"],
        {"value": 1, "writable": True, "enumerable": True, "configurable": True},
    ),
    ("object.getOwnPropertyDescriptor", [{"a": 1}, "b"], U),
    ("object.getOwnPropertySymbols", [{"a": 1}], []),
    ("object.defineProperty", [{}, "a", {"value": 1}], {"a": 1}),
    ("object.defineProperties", [{}, {"a": {"value": 1}}], {"a": 1}),
    # --- string
    ("string.split", ["a,b", ","], ["a", "b"]),
    ("string.split", ["abc", ""], ["a", "b", "c"]),
    ("string.split", ["abc"], ["abc"]),
    ("string.split", ["a,b,", ","], ["a", "b", ""]),
    ("string.split", ["", ""], []),
    ("string.split", ["", ","], [""]),
    ("string.charAt", ["abc", 1], "b"),
    ("string.charAt", ["abc"], "a"),
    ("string.charAt", ["abc", 9], ""),
    ("string.charAt", ["abc", -1], ""),
    ("string.concat", ["a", 1, None, U, True], "a1true"),
    ("string.concat", [], ""),
    ("string.includes", ["abc", "b"], True),
    ("string.includes", ["abc", "a", 1], False),
    ("string.includes", ["abc", ""], True),
    ("string.indexOf", ["abcabc", "c"], 2),
    ("string.indexOf", ["abcabc", "c", 3], 5),
    ("string.indexOf", ["abc", "x"], -1),
    ("string.indexOf", ["abc", "", 10], 3),
    ("string.lastIndexOf", ["abcabc", "c"], 5),
    ("string.lastIndexOf", ["abcabc", "c", 4], 2),
    ("string.lastIndexOf", ["abc", "a", -5], 0),
    ("string.lastIndexOf", ["abc", "x"], -1),
    ("string.startsWith", ["abc", "b", 1], True),
    ("string.startsWith", ["abc", "a"], True),
    ("string.startsWith", ["abc", "x"], False),
    ("string.endsWith", ["abc", "c"], True),
    ("string.endsWith", ["abc", "b", 2], True),
    ("string.endsWith", ["abc", "a"], False),
    ("string.slice", ["abcdef", 1, 3], "bc"),
    ("string.slice", ["abcdef", -2], "ef"),
    ("string.slice", ["abc", 2, 1], ""),
    ("string.slice", ["abc", 0, -1], "ab"),
    ("string.substring", ["abcdef", 3, 1], "bc"),
    ("string.substring", ["abc", -1, 2], "ab"),
    ("string.substring", ["abc", 1], "bc"),
    ("string.substring", ["abc", NAN, 2], "ab"),
    ("string.toLowerCase", ["ABC"], "abc"),
    ("string.toUpperCase", ["abc"], "ABC"),
    ("string.toUpperCase", ["straße"], "STRASSE"),
    ("string.trim", [" a \n"], "a"),
    ("string.trimStart", [" a "], "a "),
    ("string.trimEnd", [" a "], " a"),
    ("string.padStart", ["5", 3, "0"], "005"),
    ("string.padStart", ["abc", 2], "abc"),
    ("string.padStart", ["a", 4], "   a"),
    ("string.padStart", ["a", 5, "xy"], "xyxya"),
    ("string.padEnd", ["a", 4, "xy"], "axyx"),
    ("string.padEnd", ["a", 3], "a  "),
    ("string.padEnd", ["a", 3, ""], "a"),
    ("string.replace", ["aXbX", "X", "-"], "a-bX"),
    ("string.replace", ["abc", "z", "-"], "abc"),
    ("string.search", ["abc123", "[0-9]+"], 3),
    ("string.search", ["abc", "x"], -1),
    ("string.repeat", ["ab", 3], "ababab"),
    ("string.repeat", ["ab", 0], ""),
    ("string.repeat", ["ab", 2.9], "abab"),
    ("string.repeat", ["ab", -1], ERROR),
    ("string.repeat", ["ab", INF], ERROR),
    ("string.toUpperCase", [5], "5"),
    ("string.toUpperCase", [None], ERROR),
    ("string.split", [U, ","], ERROR),
    ("string.trim", [None], ERROR),
    ("string.toLowerCase", [U], ERROR),
    # --- date
    ("date.getTime", [1704164645006], 1704164645006),
    ("date.getTime", ["2024-01-02"], 1704153600000),
    ("date.getTime", ["2024-01-02T03:04:05.006Z"], 1704164645006),
    ("date.getTime", ["1704164645006"], 1704164645006),
    ("date.valueOf", [1704164645006], 1704164645006),
    ("date.getTime", ["xyz"], ERROR),
    ("date.parse", ["2024-01-02T03:04:05.006Z"], 1704164645006),
    ("date.parse", ["nonsense"], NAN),
    ("date.UTC", [2024, 0, 2, 3, 4, 5, 6], 1704164645006),
    ("date.UTC", [2024, 12, 1, 0, 0, 0, 0], 1735689600000),
    ("date.UTC", [99, 0, 1, 0, 0, 0, 0], 915148800000),
    ("date.UTC", [2024, 1, 30, 25, 61, 61, 1000], 1709344922000),
    ("date.getUTCDate", [1704164645006], 2),
    ("date.getUTCDay", [1704164645006], 2),
    ("date.getUTCFullYear", [1704164645006], 2024),
    ("date.getUTCHours", [1704164645006], 3),
    ("date.getUTCMilliseconds", [1704164645006], 6),
    ("date.getUTCMinutes", [1704164645006], 4),
    ("date.getUTCMonth", [1704164645006], 0),
    ("date.getUTCSeconds", [1704164645006], 5),
    ("date.getDate", [1704164645006], 2),
    ("date.getDay", [1704164645006], 2),
    ("date.getFullYear", [1704164645006], 2024),
    ("date.getHours", [1704164645006], 3),
    ("date.getMilliseconds", [1704164645006], 6),
    ("date.getMinutes", [1704164645006], 4),
    ("date.getMonth", [1704164645006], 0),
    ("date.getSeconds", [1704164645006], 5),
    ("date.getTimezoneOffset", [1704164645006], 0),
    ("date.setUTCDate", [1704164645006, 31], 1706670245006),
    ("date.setUTCDate", [1704164645006, 40], 1707447845006),
    ("date.setUTCMilliseconds", [1704164645006, 7], 1704164645007),
    ("date.setUTCMinutes", [1704164645006, 1, 2, 3], 1704164462003),
    ("date.setUTCMonth", [1704164645006, 5, 6], 1717643045006),
    ("date.setUTCMonth", [1704164645006, 13, 1], 1738379045006),
    ("date.setUTCSeconds", [1704164645006, 9, 8], 1704164649008),
    ("date.setUTCFullYear", [1704164645006, 2020, 1, 29], 1582945445006),
    ("date.setUTCHours", [1704164645006, 1, 2, 3, 4], 1704157323004),
    ("date.setDate", [1704164645006, 31], 1706670245006),
    ("date.setMilliseconds", [1704164645006, 7], 1704164645007),
    ("date.setTime", [1704164645006, 5], 5),
    ("date.setTime", [1704164645006, 5.9], 5),
    ("date.setHours", [1704164645006, 1, 2, 3, 4], 1704157323004),
    ("date.setMinutes", [1704164645006, 1, 2, 3], 1704164462003),
    ("date.setMonth", [1704164645006, 5, 6], 1717643045006),
    ("date.setSeconds", [1704164645006, 9, 8], 1704164649008),
    ("date.setFullYear", [1704164645006, 2020, 1, 29], 1582945445006),
    ("date.toISOString", [1704164645006], "2024-01-02T03:04:05.006Z"),
    ("date.toJSON", [1704164645006], "2024-01-02T03:04:05.006Z"),
    ("date.toISOString", ["2024-01-02"], "2024-01-02T00:00:00.000Z"),
    ("date.toDateString", [1704164645006], "Tue Jan 02 2024"),
    ("date.toISOString", [0], "1970-01-01T00:00:00.000Z"),
    ("date.toISOString", [-1], "1969-12-31T23:59:59.999Z"),
]


def same(one: Any, other: Any) -> bool:
    """Equal in kind and value; NaN equals itself; a float may be off by a rounding."""
    if isinstance(one, bool) or isinstance(other, bool) or one is U or other is U:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-14)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return own_keys(one) == own_keys(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parts of dates are those of the machine's zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("name", "args", "expected"), TABLE)
def test_a_function_gives_what_the_table_says(name: str, args: list[Any], expected: Any) -> None:
    given = copy.deepcopy(args)
    if expected is ERROR:
        with pytest.raises(PipeError):
            find(name)(*given)
    else:
        found = find(name)(*given)
        assert same(found, expected), (found, expected)


WITHOUT_TABLE = {
    "cron.nextDelay", "date.fromISOString", "date.now", "date.toISOXString", "date.toLocaleDateString",
    "date.toLocaleString", "date.toLocaleTimeString", "date.toString", "math.asinh", "math.random",
}  # fmt: skip
"""Told by tests of their own below."""


def test_every_function_is_in_the_table() -> None:
    every = {f"{family.name}.{name}" for family in FAMILIES.values() for name in family.functions}
    assert len(FAMILIES) == 13
    told = {name for name, _, _ in TABLE}
    assert told <= every
    assert every - told - {name for name in every if name.startswith("symbol.")} == WITHOUT_TABLE


def test_every_function_says_what_it_does() -> None:
    lacking = [
        f"{family.name}.{name}"
        for family in FAMILIES.values()
        for name, fn in family.functions.items()
        if not fn.__doc__
    ]
    assert lacking == []


def test_symbols() -> None:
    values = {name: fn() for name, fn in FAMILIES["symbol"].functions.items() if name != "date"}
    assert same(values.pop("NaN"), NAN)
    assert values == {
        "null": None, "undefined": U, "whitespace": " ", "object": {}, "array": [], "posInfinity": INF,
        "negInfinity": -INF,
    }  # fmt: skip
    assert find("symbol.object")() is not find("symbol.object")()
    assert abs((find("symbol.date")() - datetime.now(UTC)).total_seconds()) < 60


T = 1_704_164_645_006
"""2024-01-02T03:04:05.006Z"""


def test_dates_as_texts() -> None:
    assert find("date.toString")(T) == "Tue Jan 02 2024 03:04:05 GMT+0000 (UTC)"
    assert find("date.toISOXString")(T) == "20240102030405.006"
    assert len(find("date.toISOXString")()) == 18
    assert find("date.toLocaleString")(1_691_362_359_000, "en-US") == "8/6/2023, 10:52:39 PM"
    assert find("date.toLocaleString")(T, "en-US", {"timeZone": "America/New_York"}) == "1/1/2024, 10:04:05 PM"
    assert find("date.toLocaleDateString")(T) == "1/2/2024"
    assert find("date.toLocaleTimeString")(T) == "3:04:05 AM"
    for wrong in (("xx-XX",), ("en-US", {"timeZone": "Nowhere/Land"})):
        with pytest.raises(PipeError):
            find("date.toLocaleString")(T, *wrong)


def test_dates_are_made_of_what_is_given() -> None:
    at = datetime(2024, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
    assert find("date.fromISOString")("2024-01-02T03:04:05.006Z") == at
    assert find("date.getTime")(at) == T
    assert abs(find("date.now")() - time.time() * 1000) < 60_000
    # What is left out is taken as its beginning, or stays as it is.
    assert find("date.UTC")(2024, 0) == 1_704_067_200_000
    assert find("date.setUTCHours")(T, 5) == T + 2 * 3_600_000
    assert find("date.setUTCFullYear")(T, 2025) == 1_735_787_045_006


def test_numbers_by_chance_and_by_rarely_used_functions() -> None:
    assert 0 <= find("math.random")() < 1
    assert same(find("math.asinh")(0), 0)
    assert same(find("math.add")([1, [2]][0:1], 2), 3)
    assert find("math.multiply")([2, 3], 4) == 24


@pytest.mark.parametrize(
    ("expression", "least", "most"), [("* * * * *", 5, 60), ("0 0 1 1 *", 5, 366 * 86_400), ("*/5 * * * *", 5, 300)]
)
def test_the_delay_to_the_next_run_of_a_schedule(expression: str, least: int, most: int) -> None:
    assert least <= find("cron.nextDelay")(expression) <= most


@pytest.mark.parametrize("expression", ["", "every day", "61 * * * *", None, U])
def test_what_is_no_schedule_has_no_next_run(expression: Any) -> None:
    assert find("cron.nextDelay")(expression) == -1


@pytest.mark.parametrize(
    ("name", "told"),
    [("no.such", "Unknown domain name [{@no.such}]: no"), ("math.no", "Unknown domain function [{@math.no}]: math.no")],
)
def test_an_unknown_function_is_named(name: str, told: str) -> None:
    with pytest.raises(PipeError) as caught:
        find(name)
    assert told in str(caught.value)


def test_functions_say_how_much_they_take() -> None:
    assert most_arguments(find("math.add")) is None
    assert most_arguments(find("symbol.null")) == 0
    assert most_arguments(find("array.get")) == 2
