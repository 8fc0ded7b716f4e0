"""The broker itself: what routes, what waits, what is promised.

Rule 1: synchronous.  No await, socket, thread or clock; time is `Broker.now_ms`, set by whoever calls in.
Rule 2: no protocol's name.  The world is reached through the base classes in `ports`.
Start reading at `router.Broker.publish`; the six words are message, destination, subscription, delivery, outcome, credit.
"""
