"""The directory of customers, which is slow, and counts how often it is asked."""

import time
from dataclasses import dataclass

lookups = 0


@dataclass
class Customer:
    name: str
    card: str


def look_up(name: str) -> Customer:
    global lookups
    lookups += 1
    time.sleep(0.02)
    return Customer(name, "stolen" if name == "eve" else "visa")
