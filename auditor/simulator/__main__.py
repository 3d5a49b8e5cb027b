"""Serve an estate until interrupted: `python -m auditor.simulator ESTATE [--port N] [--as-of T] [--token T]`."""

from __future__ import annotations

import argparse
import sys
import threading
from datetime import UTC, datetime

from auditor.errors import AuditorError
from auditor.simulator import Estate, Quota, Simulator


def main(arguments: list[str] | None = None) -> int:
    """Run the server; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m auditor.simulator", description="A pretend Azure on 127.0.0.1.")
    parser.add_argument("estate", help="estate file (YAML)")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--as-of", type=datetime.fromisoformat, help="the estate's now; default: now")
    parser.add_argument("--token", default="simulator", help="the bearer token to accept")
    parser.add_argument("--no-quota", action="store_true", help="never throttle Resource Graph")
    chosen = parser.parse_args(arguments)
    as_of = chosen.as_of or datetime.now(UTC)
    try:
        estate = Estate.load(chosen.estate, as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC))
    except AuditorError as fault:
        sys.stderr.write(f"{fault.message}\n{fault.hint}\n")
        return int(fault.exit_code)
    quota = None if chosen.no_quota else Quota()
    with Simulator(estate, token=chosen.token, quota=quota, port=chosen.port) as simulator:
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
