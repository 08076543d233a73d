"""Indicators of compromise: known bad addresses, domains, URLs, hashes and mail addresses.

Feeds (`feeds`) are read into compact tables (`table`); the stage (`stage`) matches the events of
the stream against them, and `lookback` those that came before the indicator did.
"""
