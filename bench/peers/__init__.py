"""What the product is compared with. Each does the same work on the same databases, as its own documentation advises.

The same for all: the driver and its connection string (verified TLS with the same small file of roots), no pooling, the
statement, and that every result is read to its end. The connection string is the product's own, made by its own code.
"""
