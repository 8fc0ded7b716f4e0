"""One package a protocol, each binding a wire room to the core.

connector.py   turns events into calls on the core, and deliveries into frames
mapping.py     translates between the protocol's form and the canonical message
`base` holds what net and core ask of all of them.
"""
