"""Starts a stack of its own, runs the tutorial against it and stops it again. Exit code 1: a sentence says why."""

from __future__ import annotations

import shutil
import sys
import time

from local.api_client import ApiError
from local.demo.show import Screen
from local.demo.tutorial import DATABASES, DeviationError, Tutorial
from local.stack import ROOT, Stack, StackError, StackOptions

FOLDER = ROOT / ".local" / "demo"


def main() -> int:
    """The demo; what it leaves in ``.local/demo`` are the logs of its last run."""
    began = time.monotonic()
    screen = Screen()
    screen.console.print("[bold]Elastic Jobs[/]: the Azure PowerShell tutorial, on this machine", highlight=False)
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        with Stack(StackOptions(folder=FOLDER, databases=DATABASES), screen.say) as stack:
            Tutorial(stack.endpoint(), screen).run()
    except StackError as error:
        return _failed(screen, str(error))
    except DeviationError as error:
        return _failed(screen, f"{error} The logs are in {FOLDER}.")
    except ApiError as error:
        return _failed(screen, f"The API refused a request of the tutorial: {error} The logs are in {FOLDER}.")
    except KeyboardInterrupt:
        return _failed(screen, "Interrupted; everything that was started is stopped.")
    screen.console.print(f"\n[bold green]The tutorial ran to its end[/] in {time.monotonic() - began:.0f} s.")
    return 0


def _failed(screen: Screen, sentence: str) -> int:
    screen.console.print("\n[bold red]The demo failed.[/] ", end="")
    screen.console.print(sentence, markup=False)
    return 1


if __name__ == "__main__":
    sys.exit(main())
