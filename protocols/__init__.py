"""Wire rooms: one package a protocol.

Rule 1: bytes in, events out; calls in, bytes out.
Rule 2: no event loop, socket, clock or logger set-up; time is an argument.
Every room has the same files, in reading order: constants, frames, codec, state, connection, errors.
"""
