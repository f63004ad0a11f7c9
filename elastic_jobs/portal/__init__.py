"""The web pages: what runs, what ran, and the definitions, for people who never open a terminal.

Server-made HTML (Jinja2) that works without scripts; htmx only brings live parts up to date. Pages read through
``jobdb``; every action is a request to the management API made inside the process (``actions``), so that validation,
roles, audit trail and wake-ups are the same on all faces.
"""
