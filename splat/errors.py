"""What goes wrong with a .nvs file or with the pixels and wishes it is made from."""


class SplatError(ValueError):
    """The data is no legal .nvs file, or the arguments ask for something that cannot be. One sentence says what."""
