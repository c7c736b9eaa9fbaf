"""Attacks: operations that policies forbid, tried for real, with a look at whether their effect is there.

`row.py` says what an attack is, `table.py` lists them, `attacker.py` is the process that tries, `arena.py` runs it with
the policy off, in monitor and in enforce mode. An attack that does not succeed without a policy proves nothing.
"""
