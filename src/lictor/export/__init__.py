"""JSON lines to a rotated file."""
