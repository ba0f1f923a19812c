"""The night shift: draft a reply to each ticket in a file. If interrupted, run it again to continue.

python night_shift.py tickets.csv replies.jsonl
"""

import os
import sys
from pathlib import Path

from stepflow_client import SyncStepflowClient, read_inputs, write_outcomes

FLOW = Path(__file__).with_name("ticket.yaml")


def main(tickets: str, replies: str) -> int:
    """Run the batch and return how many tickets failed."""
    failed = 0
    with SyncStepflowClient(os.environ.get("STEPFLOW_URL", "http://localhost:7837")) as client:
        client.wait_ready("/support/draft", timeout=60)
        with (
            read_inputs(tickets, flow=FLOW) as inputs,
            write_outcomes(replies) as file,
            client.map(FLOW, inputs, journal=f"{replies}.journal", max_attempts=3, progress=True) as outcomes,
        ):
            for outcome in outcomes:
                file.write(outcome)
                failed += not outcome.is_success
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(*sys.argv[1:]) else 0)
