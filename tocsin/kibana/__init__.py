"""Kibana: data views, the alert queue, the overview, and the bridge to the Security app."""

from __future__ import annotations

from tocsin.kibana.install import install

__all__ = ["install"]
