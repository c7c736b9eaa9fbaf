"""Plans become attached programs."""
