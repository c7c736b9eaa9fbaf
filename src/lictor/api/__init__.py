"""The gRPC API, wire compatible with the reference."""
