"""Objects: `{@object.*}`."""

from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, PipeError, entries, is_nothing, member, needed, own_keys, text

object_ = Family("object", "Objects. Keys are in the order of whole numbers, then as they came.")


@object_("get")
def get(value: Any = UNDEFINED, key: Any = UNDEFINED) -> Any:
    """(o, key) The member; undefined where there is none, or no object."""
    return UNDEFINED if is_nothing(value) else member(value, key)


@object_("set")
def set_(value: Any = UNDEFINED, key: Any = UNDEFINED, new: Any = UNDEFINED) -> Any:
    """(o, key, v) The object with v under the key; of null a new one."""
    if is_nothing(value):
        value = {}
    if isinstance(value, dict):
        value[text(key)] = new
    elif isinstance(value, list):
        _set_in_list(value, text(key), new)
    return value


def _set_in_list(items: list[Any], key: str, new: Any) -> None:
    if not key.isdigit() or int(key) > len(items) + 100_000:
        raise PipeError(f"{key!r} is no place in a list", argument="object.set")
    items.extend([UNDEFINED] * (int(key) + 1 - len(items)))
    items[int(key)] = new


@object_("create")
def create(*parts: Any) -> dict[str, Any]:
    """(k1, v1, k2, v2, …) An object of them."""
    return {text(parts[at]): parts[at + 1] if at + 1 < len(parts) else UNDEFINED for at in range(0, len(parts), 2)}


@object_("keys", "getOwnPropertyNames")
def keys(value: Any = UNDEFINED) -> list[str]:
    """(o) Its keys; none of null."""
    return own_keys(value)


@object_("values")
def values(value: Any = UNDEFINED) -> list[Any]:
    """(o) Its members; none of null."""
    return [one for _, one in entries(value)]


@object_("entries")
def entries_(value: Any = UNDEFINED) -> list[list[Any]]:
    """(o) Pairs of key and member; none of null."""
    return [[key, one] for key, one in entries(value)]


@object_("fromEntries")
def from_entries(pairs: Any = UNDEFINED) -> dict[str, Any]:
    """(pairs) An object of pairs of key and member."""
    needed(pairs, "object.fromEntries")
    if not isinstance(pairs, list) or not all(isinstance(one, list | dict) for one in pairs):
        raise PipeError("it takes a list of pairs", argument="object.fromEntries")
    return {text(member(one, "0")): member(one, "1") for one in pairs}


@object_("assign")
def assign(target: Any = UNDEFINED, *sources: Any) -> Any:
    """(target, ...sources) The target with the members of all; of null a new one; null sources are passed over."""
    found = {} if is_nothing(target) else target
    for source in sources:
        for key, one in entries(source):
            set_(found, key, one)
    return found


@object_("hasOwnProperty", "propertyIsEnumerable")
def has_own_property(value: Any = UNDEFINED, key: Any = UNDEFINED) -> bool:
    """(o, key) Whether it has such a member."""
    return text(key) in own_keys(needed(value, "object.hasOwnProperty"))


@object_("freeze", "seal", "preventExtensions")
def freeze(value: Any = UNDEFINED) -> Any:
    """(o) The object as it is: values of a pipe are its own, and nobody else changes them."""
    return value


@object_("isFrozen", "isSealed")
def is_frozen(value: Any = UNDEFINED) -> bool:
    """(o) False for what can be changed: lists and objects."""
    return not isinstance(value, list | dict)


@object_("isExtensible")
def is_extensible(value: Any = UNDEFINED) -> bool:
    """(o) Whether members can be added: to lists and objects."""
    return isinstance(value, list | dict)


@object_("isPrototypeOf")
def is_prototype_of(value: Any = UNDEFINED, other: Any = UNDEFINED) -> bool:
    """(o, other) Always false: data has no prototypes."""
    return False


@object_("getOwnPropertyDescriptor")
def get_own_property_descriptor(value: Any = UNDEFINED, key: Any = UNDEFINED) -> Any:
    """(o, key) The member and what may be done with it, which is everything; undefined if there is none."""
    found = member(needed(value, "object.getOwnPropertyDescriptor"), key)
    if found is UNDEFINED:
        return UNDEFINED
    return {"value": found, "writable": True, "enumerable": True, "configurable": True}


@object_("getOwnPropertySymbols")
def get_own_property_symbols(value: Any = UNDEFINED) -> list[Any]:
    """(o) None: data has no symbols."""
    return []


@object_("defineProperty")
def define_property(value: Any = UNDEFINED, key: Any = UNDEFINED, descriptor: Any = UNDEFINED) -> Any:
    """(o, key, {value}) The object with that member."""
    return set_(value, key, member(descriptor, "value"))


@object_("defineProperties")
def define_properties(value: Any = UNDEFINED, descriptors: Any = UNDEFINED) -> Any:
    """(o, {key: {value}}) The object with those members."""
    found = {} if is_nothing(value) else value
    for key, descriptor in entries(descriptors):
        define_property(found, key, descriptor)
    return found
