"""Learned behaviour: what is unusual for this user, this host, this service.

events → observe (observe.py) → observations (observation.py), keyed by entity → behavior
(behavior.py): profiles (profile.py), detectors (detectors/), calibration to a budget of alerts a
day (calibrate.py), entity risk (risk.py), findings with an explanation (explain.py).
"""
