"""The reference table of ``docs/cli.md``, from the commands themselves.

``python -m tests.cli.reference`` writes it into the page; a test compares.
"""

from __future__ import annotations

from typing import Any

from tests.cli.shell import ROOT
from tests.cli.tree import ALL, COMMON

PAGE = ROOT / "docs" / "cli.md"
BEGIN, END = "<!-- reference: begin -->\n", "<!-- reference: end -->\n"


def table() -> str:
    """The table, in the order in which the command's own help has them."""
    lines = ["| command | does | options |", "|---|---|---|"]
    for words, command in ALL.items():
        usage = " ".join([*words, *(_argument(param) for param in command.params if _is_argument(param))])
        does = str(command.help).split("\n\n")[0].replace("\\[", "[").replace("|", "\\|")
        options = ", ".join(
            f"`{max(param.opts, key=len)}`"
            for param in command.params
            if not _is_argument(param) and param.name not in COMMON
        )
        lines.append(f"| `{usage}` | {does} | {options} |")
    return "\n".join(lines) + "\n"


def written() -> str:
    """The page with the table as it must be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _argument(param: Any) -> str:
    name = str(param.metavar or param.name.upper()).strip("[]")
    return name if param.required else f"[{name}]"


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
