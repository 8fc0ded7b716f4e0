"""The subprotocol `gateway.json`: one JSON text a WebSocket message, an object for one operation, an array for many.

`gateway/web/gateway.schema.json` says the same as a JSON Schema.
"""
