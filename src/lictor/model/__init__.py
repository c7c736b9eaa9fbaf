"""Immutable values that the rest of the house speaks in: processes and events."""
