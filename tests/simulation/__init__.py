"""The whole gateway in one thread under virtual time: one seed is one run, bit for bit.

`python -m tests.simulation --seeds 1-100`; gateway/tests are assembled by `world.World`, start reading there.
"""
