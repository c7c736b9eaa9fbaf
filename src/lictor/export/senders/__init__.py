"""One way of sending each. A sender's module is imported only when a target uses it."""
