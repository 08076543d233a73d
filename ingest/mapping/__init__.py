"""Mappings: what a product's log means in ECS, as data. docs/mappings.md is the guide."""
