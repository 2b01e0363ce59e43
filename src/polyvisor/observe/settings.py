"""Settings of what a process tells of itself."""

from polyvisor.model.record import Record


class MetricsSettings(Record):
    """`[metrics]`: where /metrics is, and who may read it."""

    listen: str = "auto"
    """HOST:PORT of a listener of its own; "auto" = 127.0.0.1:9464, or a free port of loopback where that one is taken
    (the start says which); "none" = no listener, and without a `textfile` nothing is counted. Beyond loopback it needs
    `token_file`, and is served by TLS."""
    token_file: str = ""
    """A file with the token that a reader must send as `Authorization: Bearer TOKEN`; empty = loopback is open to all
    on this machine."""
    textfile: str = ""
    """A file such as /var/lib/prometheus/node-exporter/polyvisor.prom, written every 15 seconds; empty = none."""
    most_hosts: int = 2000
    """Up to so many hosts have series of their own; of a larger cloud only the sums of each connection are shown."""


class TracesSettings(Record):
    """`[traces]`: where spans are sent, by OTLP over HTTP. The variables OTEL_* do the same and more."""

    endpoint: str = ""
    """Address of a collector, such as http://127.0.0.1:4318; empty = OTEL_EXPORTER_OTLP_ENDPOINT, and without that one
    nothing is recorded."""
