"""The `parley` command."""

import sys

from parley_cli.app import build_app
from parley_cli.exits import ExitCode


def main() -> None:
    try:
        build_app(sys.argv[1:])(prog_name="parley")
    except KeyboardInterrupt:  # before the command itself has begun
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
