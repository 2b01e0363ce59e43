"""Joining a cloud: the token names its authority by digest, so that nothing is told to anybody else."""

import hashlib
import socket
import ssl
import warnings
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import polyvisor
from polyvisor.agent.files import AgentFiles, Identity, trusting
from polyvisor.agent.servers import PREFIX, address
from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
MOST_CLOCK_SECONDS = 300.0


class JoinToken(Record):
    """What `polyvisor token create` prints: ID.SECRET.SHA256-OF-THE-AUTHORITY."""

    text: str
    pin: str

    @classmethod
    def parse(cls, text: str) -> "JoinToken":
        """Raises Invalid for what is no token."""
        text = text.strip()
        parts = text.split(".")
        pin = parts[-1].lower()
        if len(parts) != 3 or len(pin) != 64 or not all(parts) or set(pin) - set("0123456789abcdef"):
            raise Invalid("That is no token: copy the whole line that `polyvisor token create` printed.")
        return cls(text=text, pin=pin)


class Offered(Record):
    """A place that the agent wants to serve."""

    name: str
    driver: str


class _Joined(msgspec.Struct, frozen=True, kw_only=True):
    # A newer server may tell more: it is passed over.
    agent_id: str
    certificate: str
    authority: str
    cloud_id: str
    servers: tuple[str, ...] = ()


def join(
    files: AgentFiles, url: str, token: JoinToken, *, name: str, places: tuple[Offered, ...], session: str, config: Path
) -> Identity:
    """Make a key, have it signed by the cloud that the token names, and keep what comes. Raises Invalid."""
    host, port = address(url)
    authority = _authority(host, port, token.pin)
    key = new_key()
    asked = {
        "token": token.text, "name": name, "csr": request_for(key, name), "session": session,
        "version": polyvisor.__version__, "places": places,
    }  # fmt: skip
    pool = urllib3.HTTPSConnectionPool(host, port, ssl_context=trusting(authority))
    joined = _read(_ask(pool, "POST", "/join", msgspec.json.encode(asked)), _Joined)
    pool.close()
    identity = Identity(
        agent_id=joined.agent_id, name=name, cloud_id=joined.cloud_id, url=url.rstrip("/"), config=str(config)
    )
    files.keep(identity, joined.authority, bundle(key, joined.certificate))
    if joined.servers:
        files.keep_servers(joined.servers)
    return identity


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key that never leaves this host."""
    return ec.generate_private_key(ec.SECP256R1())


def request_for(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    """A certificate signing request, PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def bundle(key: ec.EllipticCurvePrivateKey, certificate: str) -> bytes:
    """Key and certificate in one file, so that they are never replaced but together. Raises Invalid."""
    try:
        signed = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError as error:
        raise Invalid(f"The server's certificate for this agent cannot be read: {error}.") from None
    if signed.public_key() != key.public_key():
        raise Invalid("The server has signed another key than this agent's; try again, and tell who runs it.")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.encode()


def _authority(host: str, port: int, pin: str) -> str:
    """The certificate of the cloud's authority: taken from anybody, and believed because its digest is the token's."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    pool = urllib3.HTTPSConnectionPool(host, port, ssl_context=blind, assert_hostname=False)
    with warnings.catch_warnings():  # what comes is not trusted before its digest was compared
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        response = _ask(pool, "GET", "/authority")
    pool.close()
    text = _pem(response.data)
    try:
        found = x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        raise Invalid(f"https://{host}:{port} is no server for agents: it tells of no authority.") from None
    seen = hashlib.sha256(found.public_bytes(serialization.Encoding.DER)).hexdigest()
    if seen != pin:
        raise Invalid(
            f"The server at {host}:{port} is not of the cloud that made this token: its authority's SHA-256 is {seen}, "
            f"and the token names {pin}. Check the address; if it is right, somebody may be in between. Nothing was "
            "told to it."
        )
    _check_clock(response)
    return text


def _pem(data: bytes) -> str:
    """The certificate, which comes as it is or as {"authority": PEM}."""
    try:
        return str(msgspec.json.decode(data)["authority"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return data.decode(errors="replace")


def _check_clock(response: urllib3.BaseHTTPResponse) -> None:
    date = response.headers.get("date")
    if date is None:
        return
    apart = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    if abs(apart) > MOST_CLOCK_SECONDS:
        way = "ahead of" if apart > 0 else "behind"
        raise Invalid(
            f"This host's clock is {abs(apart) / 60:.0f} minutes {way} the server's: certificates would not be taken. "
            "Set the clocks of both (chrony or systemd-timesyncd do it for good), and try again."
        )


def _ask(
    pool: urllib3.HTTPSConnectionPool, method: str, path: str, body: bytes | None = None
) -> urllib3.BaseHTTPResponse:
    where = f"{pool.host}:{pool.port}"
    try:
        response = pool.urlopen(
            method, PREFIX + path, body=body, retries=False, redirect=False,
            headers={"Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )  # fmt: skip
    except urllib3.exceptions.SSLError as error:
        raise Invalid(
            f"TLS with {where} failed: {error}. The address must be one that the server's certificate is for, the "
            "port that of `[agents] listen`, and the clocks of both hosts right."
        ) from None
    except urllib3.exceptions.HTTPError as error:
        raise Invalid(
            f"The server at {where} cannot be reached: {_cause(error)}. Check the address, the firewall between, and "
            "that `[agents] listen` is set there."
        ) from None
    if response.status >= 400:
        raise Invalid(_refusal(response, where))
    return response


def _cause(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name is not known"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "it takes no connections"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it does not answer in time"
    return str(error) or type(error).__name__


def _refusal(response: urllib3.BaseHTTPResponse, where: str) -> str:
    try:
        return str(msgspec.json.decode(response.data)["error"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return f"{where} answers {response.status} {response.reason or ''}: is it the address for agents?"


def _read(response: urllib3.BaseHTTPResponse, kind: type[_Joined]) -> _Joined:
    try:
        return msgspec.json.decode(response.data, type=kind)
    except msgspec.MsgspecError as error:
        raise Invalid(f"The server's answer cannot be read: {error}. Is it of another release?") from None


def default_name() -> str:
    """This host's."""
    return socket.gethostname()
