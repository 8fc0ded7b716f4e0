"""HTTP on the core, and the door to WebSocket: what a listener of `ws://` speaks first.

origins.py    which pages of which sites may come
settings.py   what the operator may choose
receipts.py   deliveries that wait for a client's word, beyond the end of its connection
streams.py    what reads: one pull from a queue, one stream of events
requests.py   what a request says
connector.py  requests to calls on the core
service.py    what all connections share
"""
