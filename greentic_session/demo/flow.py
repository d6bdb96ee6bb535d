"""The flow of the demo: it takes an order in three questions.

Every function takes a state and gives a state. That is all that being resumed by another runner
asks of a flow.
"""

from collections.abc import Callable
from typing import Final

import msgspec

__all__ = ["FLOW_ID", "Order", "Step", "is_start", "resume", "start"]

FLOW_ID: Final = "order"
"""What the flow's sessions are of."""

_MOST = 99
_LONGEST_ITEM = 40


class Order(msgspec.Struct, frozen=True):
    """What is known of an order so far."""

    item: str = ""
    quantity: int = 0


class Step(msgspec.Struct, frozen=True):
    """Where the flow stands after a message.

    Attributes:
        order: The state.
        says: What the bot answers.
        node: The node to be resumed with the next answer; None when the flow is done.
        pays: Whether the order is to be paid now.
    """

    order: Order
    says: str
    node: str | None = None
    pays: bool = False


def is_start(text: str) -> bool:
    """Say whether a message starts an order: ``/order``, or ``/order@TheBot`` in a group."""
    words = text.split(maxsplit=1)
    return bool(words) and words[0].partition("@")[0] == "/order"


def start() -> Step:
    """Begin an order."""
    return Step(Order(), "What would you like?", "ask_item")


def resume(node: str, order: Order, text: str) -> Step:
    """Go on at `node` with the answer `text`."""
    return _NODES[node](order, text)


def _ask_item(order: Order, text: str) -> Step:
    item = " ".join(text.split())
    if not 0 < len(item) <= _LONGEST_ITEM:
        return Step(order, f"Please name it in at most {_LONGEST_ITEM} letters.", "ask_item")
    return Step(Order(item), f"How many times {item}?", "ask_quantity")


def _ask_quantity(order: Order, text: str) -> Step:
    number = text.strip()
    # Their length first: int() refuses thousands of digits.
    if not (number.isdecimal() and len(number) <= 2 and 1 <= int(number) <= _MOST):
        return Step(order, f"Please send a number from 1 to {_MOST}.", "ask_quantity")
    return Step(Order(order.item, int(number)), f"{int(number)} x {order.item}: shall I order that? (yes/no)", "confirm")


def _confirm(order: Order, text: str) -> Step:
    match text.strip().lower():
        case "yes":
            return Step(order, f"Ordered: {order.quantity} x {order.item}.", pays=True)
        case "no":
            return Step(order, "Nothing ordered.")
        case _:
            return Step(order, "Please answer yes or no.", "confirm")


_NODES: Final[dict[str, Callable[[Order, str], Step]]] = {
    "ask_item": _ask_item,
    "ask_quantity": _ask_quantity,
    "confirm": _confirm,
}
