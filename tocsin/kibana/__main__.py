"""`python -m tocsin.kibana` writes the NDJSON files after a change of their definitions."""

from __future__ import annotations

import sys

from tocsin.kibana.build import DIRECTORY, render


def main() -> None:
    """Write the files and say which."""
    for name, content in render().items():
        (DIRECTORY / name).write_bytes(content)
        sys.stdout.write(f"{DIRECTORY / name}: {len(content)} bytes\n")


if __name__ == "__main__":
    main()
