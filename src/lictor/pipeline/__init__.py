"""Reader, stages and fan-out: the road of an event through user space."""
