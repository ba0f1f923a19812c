"""Start a server with the worker and the application, send tickets, and run the night shift."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from stepflow_client import StepflowRuntime

HERE = Path(__file__).parent


def free_port() -> int:
    """Return an unused local port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def main() -> None:
    os.chdir(HERE)
    with StepflowRuntime.start("stepflow-config.yaml") as server, tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {"STEPFLOW_URL": server.url}
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--workers", "2"]
        desk = subprocess.Popen([*command, "--log-level", "warning"], env=environ)
        try:
            use(f"http://127.0.0.1:{port}")
        finally:
            desk.terminate()
            desk.wait(20)
        tickets, replies = Path(folder, "tickets.csv"), Path(folder, "replies.jsonl")
        tickets.write_text("id,text\nn1,Where is my parcel?\nn2,My tea is cold.\n")
        subprocess.run([sys.executable, "night_shift.py", str(tickets), str(replies)], env=environ, check=True)
        print(replies.read_text(), end="")


def use(url: str) -> None:
    """Send a ticket, follow it, and read the reply."""
    ticket = {"id": "t1", "text": "slow: my tea is cold."}
    with httpx.Client(base_url=url, timeout=30) as web:
        wait_for(web)
        sent = web.post("/tickets", json=ticket)
        run_id = sent.json()["run_id"]
        print("POST /tickets", sent.status_code, "again:", web.post("/tickets", json=ticket).json() == sent.json())
        with web.stream("GET", f"/tickets/{run_id}/events") as events:
            for line in events.iter_lines():
                if line.startswith("event:") or '"step_' in line:
                    print(line[:100])
        print("GET /tickets", web.get(f"/tickets/{run_id}", params={"wait": 10}).json())


def wait_for(web: httpx.Client) -> None:
    """Wait until the application accepts connections."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            web.get("/docs")
            return
        except httpx.ConnectError:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
