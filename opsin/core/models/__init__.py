"""Where weights come from: what is needed, where it lies, how it gets here."""
