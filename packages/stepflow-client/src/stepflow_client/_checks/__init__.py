"""Offline checks of flows: the rules, grouped by topic, and type inference based on component and flow schemas."""
