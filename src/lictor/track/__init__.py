"""Records become events: the processes that live and lived, without I/O."""
