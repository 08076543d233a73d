"""`tocsin scan`: hunting in files with rules, without any server."""
