"""Parameter declarations of sp_prepexec and its kin: ``@P1 int,@P2 nvarchar(6),@P3 decimal(10,2) OUTPUT``."""

from __future__ import annotations


def declared_names(declarations: str) -> list[str]:
    """The names in order, each with its ``@``; commas inside parentheses do not separate."""
    names, depth, start = [], 0, 0
    for position, char in enumerate(declarations + ","):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            words = declarations[start:position].split()
            if words:
                names.append(words[0])
            start = position + 1
    return names
