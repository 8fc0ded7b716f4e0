"""Sockets and time: the only room, with store and admin, that waits.

clock.py       the time that everything else is told
deadlines.py   one timer for all connections
transport.py   one socket, driving one Connector
turn.py        what is written at the end of each turn of the loop
reports.py     why connections were ended, for the log
tls.py         certificates, keys and lists from files to contexts
identity.py    keeps them loaded, and warns before they expire
secure.py      TLS between a socket and its transport
detect.py      which protocol is this?
doorway.py     where a connection waits until that is known
listener.py    accepts, and turns away what is above maximumConnections
"""
