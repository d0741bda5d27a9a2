"""The bank. It does not answer the first two times it is asked about an order."""

asked: dict[str, int] = {}


class Refused(Exception):
    pass


def charge(order_id: str, card: str, cents: int) -> str:
    asked[order_id] = asked.get(order_id, 0) + 1
    if asked[order_id] <= 2:
        raise ConnectionError("the bank does not answer")
    if card == "stolen":
        raise Refused("the card was refused")
    return f"{cents} from {card}"
