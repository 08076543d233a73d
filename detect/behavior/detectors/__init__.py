"""The detectors, one file for each family; the table of all stands in table.py."""
