"""The built-in operations; each is an ordinary plugin."""
