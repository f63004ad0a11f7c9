"""Stand-ins for the small Azure services that the product talks to: identity endpoint, Key Vault, network API."""
