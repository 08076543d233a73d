"""A simulated company, attacks on it with labels, and what the detectors made of them."""
