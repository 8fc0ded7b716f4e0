"""Who may do what: implementations of `gateway.core.ports.Authorizer`."""
