"""One file per noun; renders for people."""
