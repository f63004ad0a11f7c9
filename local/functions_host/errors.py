"""The one error that ends a start."""


class StartError(RuntimeError):
    """The host cannot run this app as asked. The message is a sentence for the person who started it."""
