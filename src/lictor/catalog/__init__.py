"""One row per thing the product knows by name: capabilities, namespaces, signals, flags."""
