"""The PEKAT VISION API: one picture a request, run through a flow of operations."""
