"""Sockets and time: the only room, with store and admin, that waits.

clock.py       the time that everything else is told
deadlines.py   one timer for all connections
transport.py   one socket, driving one Connector
turn.py        what is written at the end of each turn of the loop
reports.py     why connections were ended, for the log
listener.py    accepts, and turns away what is above maximumConnections
"""
