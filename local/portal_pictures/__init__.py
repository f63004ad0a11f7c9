"""Pictures of the portal's pages for the documentation: the same data, clock and window every time."""
