"""What agents speak to: a listener of its own, by mutual TLS, with long polls on the event loop."""
