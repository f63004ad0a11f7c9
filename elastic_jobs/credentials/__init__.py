"""Where the passwords of credentials live, and how they are sealed."""
