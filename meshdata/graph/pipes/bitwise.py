"""Bits of 32-bit numbers: `{@bitwise.*}`."""

from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, int32, uint32

bitwise = Family("bitwise", "Bits of numbers, as signed numbers of 32 bits. What is undefined counts as 0.")


@bitwise("and")
def and_(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    """(a, b) The bits set in both."""
    return int32(a) & int32(b)


@bitwise("or")
def or_(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    """(a, b) The bits set in either."""
    return int32(a) | int32(b)


@bitwise("xor")
def xor(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    """(a, b) The bits set in one of them."""
    return int32(a) ^ int32(b)


@bitwise("leftShift")
def left_shift(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    """(a, b) The bits moved up by b, modulo 32."""
    return int32(int32(a) << (uint32(b) % 32))


@bitwise("rightShift")
def right_shift(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    """(a, b) The bits moved down by b, modulo 32; the sign stays."""
    return int32(a) >> (uint32(b) % 32)


@bitwise("unsignedRightShift")
def unsigned_right_shift(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    """(a, b) The bits moved down by b, modulo 32; without a sign."""
    return uint32(a) >> (uint32(b) % 32)
