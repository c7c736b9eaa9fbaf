"""The policy compiler: pure, from policy text and host facts to a plan or diagnostics."""
