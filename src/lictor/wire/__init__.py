"""Layouts of kernel records, taken from BTF, and the decoders that turn bytes into values."""
