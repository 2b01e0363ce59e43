"""Identity v3: who there is, what they may do where, the tokens that prove it, and the catalogue of services."""
