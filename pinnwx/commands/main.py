"""The entry point: an error that pinnwx raises on purpose is one line on stderr and its exit code."""

from __future__ import annotations

import io
import sys

from pinnwx.commands.app import app
from pinnwx.commands.printing import Output, notices_shown, say, write_failure
from pinnwx.errors import OutputError, PinnwxError


def main() -> None:
    """Runs the verb of the command line and ends the process with its exit code."""
    sys.stdout, sys.stderr = Output.instead_of(sys.stdout), Output.instead_of(sys.stderr)
    code = _run()
    if sys.stdout is not None:
        sys.stdout.flush()
        full = write_failure(sys.stdout)
        if code == 0 and full is not None:
            say(f"pinnwx: the output cannot be written: {full.strerror}; free space and start again", err=True)
            code = OutputError.exit_code
    sys.exit(code)


def _run() -> int:
    """The exit code of the verb."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a letter that the terminal lacks ends no job
    try:
        with notices_shown():
            app(standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except PinnwxError as error:
        if debug:
            raise
        say(f"pinnwx: {error}", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            raise
        say(
            f"pinnwx: unexpected {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}; "
            "run again with --debug and report it",
            err=True,
        )
        return 1
    return 0
