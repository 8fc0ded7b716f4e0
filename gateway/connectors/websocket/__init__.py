"""The subprotocol `gateway.json` on the core: what a browser needs no library for.

addresses.py     destinations as JSON and HTTP spell them
messages.py      messages as JSON objects, and back
subscription.py  one subscription
connector.py     operations to calls on the core, deliveries to JSON
service.py       what all connections share
"""
