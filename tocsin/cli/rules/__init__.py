"""`tocsin rules …`: detection as code: look, test, explain, measure, fetch and compare rules."""
