"""Settings, wiring, and the run loop of the agent."""
