"""The gRPC API: messages generated from proto/, the server, and the client."""
