"""Reads this machine: /proc, cgroups, kernel features."""
