"""Pages and assets the server gives to browsers."""
