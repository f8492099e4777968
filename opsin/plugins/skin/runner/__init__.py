"""The measures themselves; numpy and Pillow, no model."""
