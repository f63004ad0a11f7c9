"""Everything that touches a target server: connecting, enumerating, running scripts, writing output."""
