"""MQTT 3.1, 3.1.1 and 5.0.

settings.py    what the operator may choose
addresses.py   topic names and filters to canonical destinations and patterns, and back
mapping.py     PUBLISH to Message, Message to PUBLISH
session.py     one client's subscriptions and unfinished exchanges; outlives its connections
sessions.py    all sessions of the broker: take-over, expiry, wills
connector.py   one connection
service.py     what all connections share
"""
