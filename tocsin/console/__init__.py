"""The console: a small status page, the same facts as JSON, metrics and health."""
