"""Where messages are kept: implementations of `gateway.core.ports.Store`."""
