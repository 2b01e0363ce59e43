"""Settings of the Identity service."""

from polyvisor.model.record import Record


class IdentitySettings(Record):
    """How long tokens live, what a password check costs, and when an account is locked."""

    token_lifetime_seconds: int = 3600
    """How long a new token is valid; a token got with another token ends with that one."""
    argon2_memory_kib: int = 19_456
    """The memory of one password check (argon2id). The defaults are OWASP's minimum; more is slower for everybody."""
    argon2_passes: int = 2
    """The passes of one password check over that memory."""
    argon2_lanes: int = 1
    """The threads of one password check."""
    password_checks_at_once: int = 4
    """How many password checks may run at the same time; others wait in line."""
    password_memory_seconds: float = 300
    """How long a right password is remembered, so that the next login with it costs no argon2; 0 = not at all."""
    lockout_failures: int = 6
    """After so many wrong passwords in a row an account is locked; 0 = never."""
    lockout_seconds: float = 1800
    """How long the lock lasts after the last failure, and how long a failure counts."""
    min_password_length: int = 1
    """The shortest password that may be set."""
