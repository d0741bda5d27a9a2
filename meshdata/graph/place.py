"""Where an activity of a running job stands: its id, and the passes of the loops around it. Pure.

An activity may be run more than once: a cycle goes back to one of its ancestors, a worker answers "pending" and then
again. Each further pass of an activity has an index. A place is the indexes of an activity's ancestors, by their ids,
those that are 0 left out; so it stays what it is when another version of the graph has more activities above.

    instance   "w1" · "w1/a1:2" · "w2/a1:2/w1:1"       what a place is called in keys, waits and messages
    address    ",0,2,0"                                  how it is shown: an index for each activity from the trigger on
"""

from collections.abc import Iterable, Sequence

Place = tuple[tuple[str, int], ...]
"""Loop indexes by activity, in the order of the path from the trigger; none is 0."""


def instance_of(activity: str, place: Place) -> str:
    """The name of an activity's instance."""
    return activity + "".join(f"/{id}:{index}" for id, index in place)


def parse_instance(text: str) -> tuple[str, Place]:
    """An instance's activity and place."""
    activity, *loops = text.split("/")
    pairs = (loop.rpartition(":") for loop in loops)
    return activity, tuple((id, int(index)) for id, _, index in pairs)


def within(place: Place, activities: Iterable[str]) -> Place:
    """The part of a place that belongs to some activities: the place of an ancestor, say."""
    known = set(activities)
    return tuple(pair for pair in place if pair[0] in known)


def pass_of(activity: str, place: Place, index: int) -> Place:
    """The place of an activity's children: its own, and the index of its pass."""
    return (*place, (activity, index)) if index else place


def address_of(path: Sequence[str], place: Place) -> str:
    """A place as it is shown, for the ids from the trigger down to the activity itself."""
    indexes = dict(place)
    return "".join(f",{indexes.get(id, 0)}" for id in path)


def place_at(path: Sequence[str], address: str) -> Place:
    """The place that an address shows, for the ids from the trigger down."""
    indexes = [int(text) for text in address.split(",")[1:]]
    return tuple((id, index) for id, index in zip(path, indexes, strict=False) if index)
