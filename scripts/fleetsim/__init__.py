"""A manufacturing site that exists only as telemetry, and that knows its own truth."""
