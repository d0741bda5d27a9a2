"""Draws graphs as SVG: each graph a tree from the top down, its activities in rows by how deep they are. Pure.

A row's places: a leaf is as wide as its box, a parent stands over the middle of its children, as wide as they are
together. Ways back by a cycle, and those to other graphs, are drawn over the tree, so that they move nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from xml.sax.saxutils import escape

from meshdata.graph.picture import Arrow, Box, Frame, Picture

_CHAR: Final = 7.2
"""How wide a character is taken to be, in the units of the drawing."""
_HEIGHT: Final = 46
_ROW: Final = 104
_GAP: Final = 28
_PAD: Final = 26
_HEAD: Final = 34
_LANE: Final = 14

_FILLS: Final[Mapping[str | None, tuple[str, str]]] = {
    None: ("#ffffff", "#5b6472"),
    "done": ("#d7f0dd", "#2f8f4e"),
    "waiting": ("#fff1cc", "#b58105"),
    "running": ("#d8e8ff", "#2f6fd0"),
    "failed": ("#ffdcdc", "#c23b3b"),
}
_STYLE: Final = """\
text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #1d2430; text-anchor: middle }
.small { font-size: 11px; fill: #5b6472 }
.title { font-weight: 600; text-anchor: start }
.label { font-size: 11px; fill: #38404d }
.halo { fill: none; stroke: #f6f7f9; stroke-width: 4px }
.frame { fill: #f6f7f9; stroke: #c9ced6 }
.way { fill: none; stroke: #5b6472; stroke-width: 1.4; marker-end: url(#tip) }
.cycle, .signal, .start { stroke-dasharray: 5 4 }
.taken { stroke: #2f8f4e; stroke-width: 2.6 }
"""


@dataclass(slots=True)
class _Spot:
    """Where a box is: its middle and its top."""

    x: float
    y: float
    width: float


def svg(picture: Picture) -> str:
    """The drawing as the text of an SVG file."""
    spots: dict[str, _Spot] = {}
    frames: list[str] = []
    top, widest = float(_PAD), 0.0
    for frame in picture.frames:
        own = [arrow for arrow in _joined(picture.arrows) if arrow.kind == "transition"]
        width, height = _place(frame, own, top + _HEAD, spots)
        width = max(width, len(frame.title) * _CHAR) + 2 * _PAD
        # Room for the ways back, at the right of the tree.
        width += 34 * sum(arrow.kind == "cycle" for arrow in picture.arrows if arrow.source in _ids(frame))
        tall = height + _HEAD + _PAD
        frames.append(
            f'<rect class="frame" x="{_PAD}" y="{top:.0f}" width="{width:.0f}" height="{tall:.0f}" rx="8"/>'
            f'<text class="title" x="{_PAD + 14}" y="{top + 22:.0f}">{escape(frame.title)}</text>'
        )
        widest = max(widest, width)
        top += height + _HEAD + 2 * _PAD
    states = picture.states
    frame_of = {box.id: frame.topic for frame in picture.frames for box in frame.boxes}
    ways: list[tuple[str, str]] = []
    gutter = widest + _PAD
    for arrow in _joined(picture.arrows):
        if frame_of[arrow.source] != frame_of[arrow.to]:
            gutter += _LANE  # each way to another graph has a lane of its own, beside all graphs
            ways.append((_around(arrow, spots, gutter, states), ""))
        else:
            ways.append(_way(arrow, spots, states))
    boxes = [_box(box, spots[box.id]) for frame in picture.frames for box in frame.boxes]
    width, height = gutter + _PAD, top
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">',
            f"<style>{_STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
            'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#5b6472"/></marker></defs>',
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
            *frames,
            *(way for way, _ in ways),
            *boxes,
            *(label for _, label in ways if label),
            "</svg>",
            "",
        ]
    )


def _ids(frame: Frame) -> set[str]:
    return {box.id for box in frame.boxes}


def _joined(arrows: Iterable[Arrow]) -> list[Arrow]:
    """Arrows between the same two as one: they would lie on each other."""
    found: dict[tuple[str, str, str], Arrow] = {}
    for arrow in arrows:
        between = (arrow.source, arrow.to, arrow.kind)
        first = found.get(between)
        label = arrow.label if first is None else " · ".join(filter(None, (first.label, arrow.label)))
        found[between] = replace(arrow, label=label)
    return list(found.values())


# --- places -----------------------------------------------------------------------------------------------------------


def _place(frame: Frame, arrows: Sequence[Arrow], top: float, spots: dict[str, _Spot]) -> tuple[float, float]:
    """Give each box of a graph its spot; the width and height they take together."""
    boxes = {box.id: box for box in frame.boxes}
    children: dict[str, list[str]] = {id: [] for id in boxes}
    depth: dict[str, int] = {}
    labels: dict[str, int] = {}
    for arrow in arrows:
        if arrow.source in boxes and arrow.to in boxes:
            if arrow.to not in children[arrow.source]:
                children[arrow.source].append(arrow.to)
            labels[arrow.to] = max(labels.get(arrow.to, 0), len(arrow.label))
    for of in children.values():
        of.sort(key=lambda id: boxes[id].type == "cycle")  # at the right, where the ways back are
    below = {child for of in children.values() for child in of}
    roots = [id for id in boxes if id not in below]
    order: list[str] = []
    for root in roots:
        depth[root] = 0
        ahead = [root]
        while ahead:
            id = ahead.pop()
            order.append(id)
            for child in children[id]:
                depth[child] = depth[id] + 1
                ahead.append(child)
    own = {id: _width(box) for id, box in boxes.items()}
    room: dict[str, float] = {}
    for id in reversed(order):  # children before their parents
        together = sum(room[child] for child in children[id]) + _GAP * max(0, len(children[id]) - 1)
        room[id] = max(own[id], together, labels.get(id, 0) * 6.2)
    left: dict[str, float] = {}
    at = 2.0 * _PAD
    for root in roots:
        left[root] = at
        at += room[root] + _GAP
    for id in order:
        together = sum(room[child] for child in children[id]) + _GAP * max(0, len(children[id]) - 1)
        begin = left[id] + (room[id] - together) / 2
        for child in children[id]:
            left[child] = begin
            begin += room[child] + _GAP
        spots[id] = _Spot(left[id] + room[id] / 2, top + depth[id] * _ROW, own[id])
    return at - _GAP - 2 * _PAD, max(depth.values(), default=0) * _ROW + _HEIGHT


def _width(box: Box) -> float:
    return max(78.0, max(len(box.id) * _CHAR, len(box.detail) * 6.2) + 26)


# --- shapes -----------------------------------------------------------------------------------------------------------


def _box(box: Box, spot: _Spot) -> str:
    fill, stroke = _FILLS[box.state]
    left, width = spot.x - spot.width / 2, spot.width
    look = f'fill="{fill}" stroke="{stroke}" stroke-width="1.4"'
    round_ = {"trigger": _HEIGHT / 2, "worker": 3, "await": 3, "interrupt": 3}.get(box.type, 12)
    shape = f'<rect x="{left:.1f}" y="{spot.y:.1f}" width="{width:.1f}" height="{_HEIGHT}" rx="{round_}" {look}/>'
    if box.type == "await":
        sides = (left + 5, left + width - 5)
        shape += "".join(f'<path d="M{side:.1f} {spot.y:.1f} v{_HEIGHT}" {look}/>' for side in sides)
    middle = spot.y + _HEIGHT / 2
    name = f'<text x="{spot.x:.1f}" y="{middle + (-3 if box.detail else 4):.1f}">{escape(box.id)}</text>'
    detail = (
        f'<text class="small" x="{spot.x:.1f}" y="{middle + 13:.1f}">{escape(box.detail)}</text>' if box.detail else ""
    )
    told = f"{box.type}: {box.state}" if box.state else box.type
    return f"<g><title>{escape(told)}</title>{shape}{name}{detail}</g>"


def _around(arrow: Arrow, spots: Mapping[str, _Spot], lane: float, states: Mapping[str, str]) -> str:
    """The line of an arrow to another graph, out at the right and in again there."""
    source, to = spots[arrow.source], spots[arrow.to]
    begin, end = source.x + source.width / 2, to.x + to.width / 2
    y, goal = source.y + _HEIGHT * 0.65, to.y + _HEIGHT / 2
    turn = 8 if goal > y else -8
    path = (
        f"M{begin:.1f} {y:.1f} H{lane - 8:.1f} Q{lane:.1f} {y:.1f} {lane:.1f} {y + turn:.1f} "
        f"V{goal - turn:.1f} Q{lane:.1f} {goal:.1f} {lane - 8:.1f} {goal:.1f} H{end:.1f}"
    )
    return f'<path class="{_classes(arrow, states)}" d="{path}"/>'


def _classes(arrow: Arrow, states: Mapping[str, str]) -> str:
    classes = ["way"] if arrow.kind == "transition" else ["way", arrow.kind]
    if arrow.source in states and arrow.to in states and arrow.kind != "cycle":
        classes.append("taken")
    return " ".join(classes)


def _way(arrow: Arrow, spots: Mapping[str, _Spot], states: Mapping[str, str]) -> tuple[str, str]:
    """The line of an arrow, and its label."""
    source, to = spots[arrow.source], spots[arrow.to]
    if arrow.kind == "cycle":
        begin, end = source.x + source.width / 2, to.x + to.width / 2
        out = max(begin, end) + 44
        y, goal = source.y + _HEIGHT / 2, to.y + _HEIGHT / 2
        path = f"M{begin:.1f} {y:.1f} C{out:.1f} {y:.1f} {out:.1f} {goal:.1f} {end:.1f} {goal:.1f}"
        label_at = (out - 10, (y + goal) / 2)
    else:
        y, goal = source.y + _HEIGHT, to.y
        if goal <= source.y:  # up, to a graph further up or on the same row
            y, goal = source.y, to.y + _HEIGHT
        half = (y + goal) / 2
        path = f"M{source.x:.1f} {y:.1f} C{source.x:.1f} {half:.1f} {to.x:.1f} {half:.1f} {to.x:.1f} {goal:.1f}"
        label_at = (to.x, goal - 16) if arrow.kind == "transition" else ((source.x + to.x) / 2, half + 4)
    drawn = f'<path class="{_classes(arrow, states)}" d="{path}"/>'
    if not arrow.label:
        return drawn, ""
    text = f'x="{label_at[0]:.1f}" y="{label_at[1]:.1f}">{escape(arrow.label)}</text>'
    return drawn, f'<text class="label halo" {text}<text class="label" {text}'
