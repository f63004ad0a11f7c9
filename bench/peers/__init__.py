"""What the product is compared with. Each does the same work on the same databases, as its own documentation advises.

The same for all: the driver and its connection string (verified TLS), no pooling, the statement, and that every result
is read to its end. The connection string is the product's own, made by its own code. Which roots the driver reads is
the estate's to say: those of the system, as the driver comes, or the product's few.
"""
