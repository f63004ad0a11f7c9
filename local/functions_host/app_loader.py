"""Importing the app and asking it for its functions, as the Python worker does."""

import importlib
import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

import azure.functions as func

from local.functions_host.bindings import BoundFunction, bind_function
from local.functions_host.errors import StartError


def load_functions(app_file: Path, environment: Mapping[str, str]) -> list[BoundFunction]:
    """Import `app_file` and bind its functions. Raises StartError with a sentence for everything that is wrong.

    The app's folder comes first on sys.path. `get_functions` may be called only once in a process.
    """
    folder = str(app_file.parent)
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module(app_file.stem)
    except (Exception, SystemExit) as error:
        raise StartError(f"The app {app_file} cannot be imported: {_reason(error)}") from error
    apps = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)}
    if len(apps) != 1:
        found = "no FunctionApp" if not apps else f"{len(apps)} FunctionApp objects"
        raise StartError(f"The app {app_file} has {found} at its top level, and needs exactly one.")
    try:
        functions = next(iter(apps.values())).get_functions()
    except ValueError as error:
        raise StartError(f"The functions of {app_file} cannot be listed: {error}") from error
    bound = []
    for function in functions:
        name = str(function.get_function_name())
        if environment.get(f"AzureWebJobs.{name}.Disabled", "").lower() in ("true", "1"):
            continue  # the setting by which the real host is told to leave a function alone
        document = json.loads(function.get_function_json())
        if function.get_settings_dict("retry_policy"):
            raise StartError(f"Function {name} has a retry policy, which the local host does not support.")
        bound.append(bind_function(name, function.get_user_function(), document["bindings"], environment, folder))
    return bound


def _reason(error: BaseException) -> str:
    """The exception and where in whose file it happened: the frames of the import machinery say nothing."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error}."
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    return f"{type(error).__name__}: {error}{place}."
