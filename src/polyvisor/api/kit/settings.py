"""Settings of the HTTP edge that all services share."""

from polyvisor.model.record import Record


class ApiSettings(Record):
    """How requests are taken and answered."""

    public_url: str = ""
    """The address in links, such as "https://cloud.example.com"; empty = as the client called us."""
    behind_proxy: bool = False
    """Believe X-Forwarded-Proto and X-Forwarded-Host: only where a proxy of yours always sets them."""
    threads: int = 16
    """How many requests are worked on at once."""
    stream_threads: int = 64
    """How many uploads and downloads run at once."""
    login_threads: int = 8
    """How many logins and other requests that take long on purpose run at once; others wait in line."""
    silence_seconds: float = 60.0
    """How long an upload may send nothing before it is given up, so that stalled clients do not use up the threads."""
    max_body_bytes: int = 256 * 1024
    """The largest JSON body; larger ones are refused with 413."""
    drain_seconds: float = 0.0
    """How long requests are still taken after SIGTERM, while /readyz says 503: a load balancer looks away first."""
    max_limit: int = 1000
    """The largest page of a list, and the page size where a request names none."""
    policy_file: str = ""
    """A policy.yaml that overrides the default rules; empty = the defaults alone."""
