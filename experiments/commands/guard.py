"""How a command ends: with its exit code, and one line for what was foreseen to go wrong."""

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any, TextIO

import typer

INTERRUPTED = 130


def guard(command: Callable[[], Any]) -> None:
    """Run a command and exit with its code; what was foreseen to go wrong becomes one line on stderr."""
    try:
        code = command()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read the output has enough of it
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        code = 1
    except OSError as error:  # what no error of ours foresaw of the disk
        where = f"{error.filename}: " if error.filename else ""
        print(f"ablate: {where}{error.strerror or error}; make it usable or name another", file=sys.stderr)
        code = 1
    except Exception as error:  # ours, and typer's about the command line
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        text = (
            error.format_message()
            if isinstance(error, typer.TyperException) and hasattr(error, "format_message")
            else str(error)
        )  # names the option
        if text:
            print(f"ablate: {text}", file=sys.stderr)
    else:
        code = code if isinstance(code, int) else 0
    if code == INTERRUPTED:
        print("interrupted; run the same command again to carry on", file=sys.stderr)
    sys.exit(code)


def writable(stream: TextIO | None) -> TextIO:
    """A stream that takes any text: one that was closed (`>&-`), or whose locale lacks letters of ours, is no fault."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream or open(os.devnull, "w")  # noqa: PTH123
