"""Lictor: sees every process of a machine from inside the kernel, and stops what a policy forbids."""

__version__ = "0.1.0"
