"""Runs that a server loses: it fails to recover them after a restart, or its store fails. No event tells of their end."""

from __future__ import annotations
