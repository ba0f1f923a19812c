"""Runs that a server loses: it fails to recover them after a restart, or its store fails. No event tells of their end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import RunFailedError, StepflowClient, StepflowClientError, SyncStepflowClient

from tests.cli.command import Stepflow
from tests.durable import DurableServer
from tests.server.awaited import Awaited
from tests.server.test_faults import made
