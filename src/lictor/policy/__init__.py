"""The policy compiler: policy text and facts about a machine in, a plan or diagnostics out. Pure: no I/O, no kernel."""
