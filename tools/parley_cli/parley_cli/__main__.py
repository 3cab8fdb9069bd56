"""The `parley` command."""

import sys

from parley_cli.app import build_app


def main() -> None:
    build_app(sys.argv[1:])(prog_name="parley")


if __name__ == "__main__":
    main()
