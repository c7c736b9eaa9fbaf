"""Generated from src/lictor/api/proto by tools/gen_protos.py; not edited by hand."""
