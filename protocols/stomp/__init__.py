"""STOMP 1.0, 1.1 and 1.2: the server's side of a connection, and a codec that also writes a client's frames.

Citations name sections of STOMP 1.2 unless another version is named.  Reading order: constants, frames, headers,
codec, state, reader, connection, errors.
"""
