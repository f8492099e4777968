"""Where a picture draws the eye."""
