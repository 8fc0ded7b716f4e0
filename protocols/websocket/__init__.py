"""WebSocket (RFC 6455) with permessage-deflate (RFC 7692): a carrier, its events are bytes for the protocol inside.

The handshake is the `websockets` package's.  Frames are ours: the package makes an object a frame and a coroutine
step a byte boundary, which costs several times what an MQTT packet inside the frame does.
"""
