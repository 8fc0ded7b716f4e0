"""Of the steps that a look-up may take each user, and each address, may have an even part of what is left free.

As with memory (`Unstored`) one alone has about half, and of many who come one after the other each leaves some to the next.
A quarter of all is for what is ordinary: who has a few steps finds some there, however greedy others are.

It is counted when somebody's filter makes the longest way longer: how much of that way is of his making.  So whatever he
has added where it did not count then, beside something longer, counts from the moment it does; and what others use of his
counts for him while it is there.
"""

from typing import Final

from gateway.core.branches import Made, Node
from gateway.core.flow import Publisher

ASKED_PART: Final = 8
"""Up to one part in so many of all nothing has to be counted."""

RESERVED_PART: Final = 4
"""One part in so many is for what is ordinary."""

ORDINARY: Final = 16
"""Steps of the longest way that anybody may have, while there are any."""


def made_by(publisher: Publisher | None) -> Made | None:
    """What is remembered of who made a node."""
    return None if publisher is None else (publisher.user or "", publisher.address)


def has_even_part(root: Node, maker: Publisher, steps_max: int) -> bool:
    """Is the longest way from `root` such that `maker` may have made it longer?

    It takes as many steps as that is long to find out.  Who has neither a user nor an address, on a Unix socket, is one
    with all others of that kind.
    """
    free = steps_max - steps_max // RESERVED_PART - root.steps
    user = maker.user or ""
    address = maker.address
    users: set[str] = set()
    addresses: set[str] = set()
    of_user = of_address = 0
    pending = [root]
    while pending:
        node = pending.pop()
        made = node.made
        if made is not None:
            users.add(made[0])
            addresses.add(made[1])
            if made[0] == user:
                of_user += 1
            if made[1] == address:
                of_address += 1
        if node.one is not None:
            pending.append(node.one)
        if node.many is not None:
            pending.append(node.many)
        if node.behind:
            if node.children is not None:
                pending.extend(node.children.values())
        else:
            child = node.dearest()
            if child is not None:
                pending.append(child)
    if user and of_user > ORDINARY and of_user * len(users) > free:
        return False
    return (user != "" and not address) or of_address <= ORDINARY or of_address * len(addresses) <= free
