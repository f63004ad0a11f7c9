"""Definitions as files: target groups and jobs as YAML and ``.sql`` files in a folder, and what applies them."""
