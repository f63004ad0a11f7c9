"""The management API: the wire shape of Azure's job agents, one module per resource, and one mapper for all errors."""
