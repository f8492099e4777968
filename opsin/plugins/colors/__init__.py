"""The few colours that a picture is made of."""
