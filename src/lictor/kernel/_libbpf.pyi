# The contract of the compiled module; what it declares is in binding/functions.h.
from typing import Any

ffi: Any
lib: Any
