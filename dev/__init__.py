"""Real servers and networks for tests on one Linux machine, without containers."""
