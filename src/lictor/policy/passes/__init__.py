"""The passes of the compiler, one per file: each takes a `Draft`, adds to it, and reports what is wrong."""
