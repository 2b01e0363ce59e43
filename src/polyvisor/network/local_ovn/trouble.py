"""Why this machine's OVN cannot keep networks."""


class Trouble(Exception):
    """In a sentence for the operator, that says what to do."""
