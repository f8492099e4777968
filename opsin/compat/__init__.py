"""REST APIs that were there before Opsin; each only translates, nothing new is born here."""
