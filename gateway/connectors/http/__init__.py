"""HTTP on the core, and the door to WebSocket: what a listener of `ws://` speaks first.

origins.py    which pages of which sites may come
settings.py   what the operator may choose
requests.py   what a request says
codings.py    how its body is packed
meta.py       what an answer says of a message beside its body
receipts.py   deliveries that wait for a client's word, beyond the end of its connection
trails.py     what streams of events keep for clients that come again
answering.py  the half of a connection that answers
publish.py    messages that come
pull.py       messages that are taken from a queue
events.py     messages that are shown as they come
connector.py  requests to calls on the core
service.py    what all connections share
"""
