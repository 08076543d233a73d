"""CACAO Security Playbooks 2.0 (OASIS): checking, importing, exporting."""
