"""The OpenAPI document: what every operation takes, answers and refuses, with an example of each."""
