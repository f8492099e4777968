"""The queue of analyses and the worker that runs them."""
