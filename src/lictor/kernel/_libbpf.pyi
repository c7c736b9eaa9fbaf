# The contract of the compiled module; what it declares is in build_libbpf.py.
from typing import Any

ffi: Any
lib: Any
