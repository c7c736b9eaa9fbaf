"""The only user of libbpf: objects, maps, programs, rings, and what the verifier says."""
