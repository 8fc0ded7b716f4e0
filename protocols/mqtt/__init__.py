"""MQTT 3.1, 3.1.1 and 5.0: the server's side of a connection, and a codec for both sides.

Citations name sections of MQTT 5.0; 3.1.1 has the same sections unless it is named.
"""
