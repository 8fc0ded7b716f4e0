"""STOMP 1.0, 1.1 and 1.2.

settings.py      what the operator may choose
addresses.py     destinations as STOMP spells them to canonical ones, and back
mapping.py       SEND to Message, Message to MESSAGE
subscription.py  one SUBSCRIBE: live on a topic, or a consumer of a queue
connector.py     one connection
service.py       what all connections share
"""
