"""One measured workload as a JSON line, and the table that closes a run."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """What a workload came to.

    Attributes:
        figures: what was measured; a unit is in the name (`_us`, `_ms`, `_s`, `_mb`, `_bytes`), ratios have none.
        target: what is promised, in words. met: whether it is kept; None where nothing is promised.
    """

    workload: str
    figures: dict[str, Any]
    target: str = ""
    met: bool | None = None


def show(line: Line) -> None:
    """Print a line on standard output, at once: a run takes minutes."""
    figures = {name: _short(value) for name, value in line.figures.items()}
    print(json.dumps({"workload": line.workload, **figures, "target": line.target, "met": line.met}), flush=True)


def summarise(lines: Sequence[Line]) -> None:
    """Print the table on standard error, where it does not disturb the JSON lines."""
    width = max((len(line.workload) for line in lines), default=0)
    print(file=sys.stderr)
    for line in lines:
        mark = {True: "met   ", False: "MISSED", None: "      "}[line.met]
        figures = "  ".join(
            f"{name} {_short(value)}" for name, value in line.figures.items() if not isinstance(value, dict | list)
        )
        print(f"{mark}  {line.workload:<{width}}  {line.target or '-'}\n{'':<{width + 10}}{figures}", file=sys.stderr)
    missed = [line.workload for line in lines if line.met is False]
    promised = sum(line.met is not None for line in lines)
    print(f"\n{promised - len(missed)} of {promised} targets met", file=sys.stderr)
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1) if abs(value) >= 100 else round(value, 3)
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items()}
    return value
