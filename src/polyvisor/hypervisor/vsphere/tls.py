"""Trust in a server's certificate: by authority, by thumbprint, or by explicit leave not to check."""

import hashlib
import http.client
import select
import socket
import ssl
from typing import Any

from polyvisor.hypervisor.driver import Unreachable
from polyvisor.hypervisor.permit import ensure_permitted
from polyvisor.hypervisor.vsphere.settings import VsphereSettings

BROKEN = (ConnectionError, http.client.BadStatusLine, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""What a connection ends with that the server has closed."""
SILENT_SECONDS = 10
"""For so long packets may stay without an acknowledgement before a connection counts as cut. A server that is slow to
answer still acknowledges: it has all the time that the settings give it."""
_PROBES = 3


class CertificateRefused(Unreachable):
    """The server shows a certificate that the settings do not trust. Nothing was sent to it."""


class Trust:
    """How the certificate of one server is checked, and the connections that do so."""

    def __init__(
        self, *, ca_file: str = "", digest: str = "", insecure: bool = False, setting: str = "thumbprint"
    ) -> None:
        self._digest = digest
        self._setting = setting
        self.context = ssl.create_default_context(cafile=ca_file or None)
        if digest or insecure:  # a thumbprint is checked on every connection, by Connection below
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE

    @classmethod
    def of(cls, settings: VsphereSettings) -> "Trust":
        """As the settings say. Raises CertificateRefused when the CA file cannot be read."""
        try:
            return cls(ca_file=settings.ca_file, digest=settings.digest, insecure=settings.insecure)
        except (OSError, ssl.SSLError) as error:
            raise CertificateRefused(f"The CA file {settings.ca_file} cannot be used: {error}.") from error

    def check(self, host: str, certificate: bytes) -> None:
        """Compare the certificate (DER) with the thumbprint, where one is set. Raises CertificateRefused."""
        if not self._digest:
            return
        seen = digest(certificate, sha1=len(self._digest) == 40)
        if seen != self._digest:
            raise CertificateRefused(
                f"{host} shows a certificate with the thumbprint {colons(seen)}, and {colons(self._digest)} is "
                f"expected. If its certificate was renewed, and this is the new one, set `{self._setting}` to it."
            )

    def explain(self, host: str, error: ssl.SSLCertVerificationError) -> CertificateRefused:
        """The refusal of a certificate that no known authority vouches for, with what to set."""
        return CertificateRefused(
            f"The certificate of {host} is not trusted: {error.verify_message}. Set `ca_file` to the authority's "
            "certificate, or `thumbprint` to the certificate's SHA-256 once you have checked it on the server "
            "itself."
        )


def digest(certificate: bytes, *, sha1: bool = False) -> str:
    """The thumbprint of a certificate (DER) in lower-case hex."""
    made = hashlib.sha1(certificate, usedforsecurity=False) if sha1 else hashlib.sha256(certificate)
    return made.hexdigest()


def colons(hex_digits: str) -> str:
    """As vCenter and openssl show a thumbprint."""
    return ":".join(hex_digits[i : i + 2] for i in range(0, len(hex_digits), 2)).upper()


class Connection(http.client.HTTPSConnection):
    """An HTTPS connection that trusts as told, and bounds connecting apart from waiting for answers.

    pyVmomi's own thumbprint check happens only after a failed verification, and then turns verification off for all
    later connections of the same context; so the check is made here, on every connection.
    """

    def __init__(
        self, host: str, port: int | None = None, *, trust: Trust, connect_timeout: float, timeout: float, **_: Any
    ) -> None:
        super().__init__(host, port, timeout=connect_timeout, context=trust.context)
        self._trust = trust
        self._answer_timeout = timeout

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        """Begin a request; on a new connection where the server has closed this one while it was idle. Raises
        Fenced."""
        ensure_permitted()
        if self.sock is not None and select.select([self.sock], [], [], 0)[0]:
            self.close()
        super().putrequest(*args, **kwargs)

    def send(self, data: Any) -> None:
        """Send bytes, all of a request or the next of a long one, unless the step for which it is may do no more.

        Every byte that goes to a vCenter or an ESXi host goes through here. Raises Fenced.
        """
        ensure_permitted()
        super().send(data)

    def connect(self) -> None:
        """Connect and check. Raises CertificateRefused or OSError."""
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise self._trust.explain(self.host, error) from error
        try:
            self._trust.check(self.host, self.sock.getpeercert(binary_form=True) or b"")
        except CertificateRefused:
            self.close()
            raise
        self.sock.settimeout(self._answer_timeout)
        notice_cuts(self.sock)


def notice_cuts(sock: socket.socket) -> None:
    """Let the kernel end a connection whose other end is cut off: after SILENT_SECONDS, whether it waits or sends."""
    idle = SILENT_SECONDS // (_PROBES + 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, idle)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * SILENT_SECONDS)
