"""The models that write captions: loading them, asking them, and what they write."""
