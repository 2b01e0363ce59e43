"""One login to a vCenter or ESXi host, shared by all threads, renewed when it ends, with every wait bounded."""

import hashlib
import http.client
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from pyVmomi import SoapStubAdapter, vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere.faults import sentence
from polyvisor.hypervisor.vsphere.settings import VsphereSettings
from polyvisor.hypervisor.vsphere.tls import BROKEN, Connection, Trust

log = logging.getLogger(__name__)

# vSphere 6.5: the oldest whose properties we use. Every later server speaks it too.
API_VERSION = "vim.version.version11"
IDLE_CONNECTION_SECONDS = 50
"""Connections idle for longer are not used again: firewalls and proxies forget them."""
REFUSED_LOGIN_PAUSE_SECONDS = 30
"""After a refused login, none is tried for so long: wrong passwords lock accounts."""

# Calls that change nothing, or whose change is the session's own: asked again when the connection breaks.
_REPEATABLE = frozenset({
    "RetrieveServiceContent", "RetrievePropertiesEx", "FindAllByUuid", "FindByUuid", "FindChild", "CurrentTime",
    "CreateContainerView", "CreatePropertyCollector", "Fetch", "SearchDatastore_Task", "SearchDatastoreSubFolders_Task",
})  # fmt: skip
_OF_LOGIN = frozenset({"Login", "Logout", "RetrieveServiceContent"})


class Session:
    """A connection to one server. All managed objects got through it stay valid when it is renewed."""

    def __init__(self, settings: VsphereSettings) -> None:
        self.settings = settings
        self.host, self.port = settings.endpoint
        self._trust: Trust | None = None
        self.generation = 0
        """Grows with each login; what belongs to a session (views, filters) is made anew when it has grown."""
        self.logins = 0
        self.mark = ""
        """Tells this login from others. It is made of the session's key, which is as good as a password."""
        self._lock = threading.Lock()
        self._closed = False
        self._refused: tuple[float, HypervisorError] | None = None
        self._content: Any = None
        self.stub = _Stub(self)

    @property
    def trust(self) -> Trust:
        """How the server's certificate is checked. Raises CertificateRefused while the CA file cannot be read."""
        if self._trust is None:
            self._trust = Trust.of(self.settings)
        return self._trust

    @property
    def content(self) -> Any:
        """The service content (vim.ServiceInstanceContent), logged in. Raises Unreachable."""
        if self._content is None:
            self.renew(0)
        return self._content

    @property
    def cookie(self) -> str:
        """The session's cookie, for the datastores' HTTP access; a secret."""
        _ = self.content
        return str(self.stub.cookie).split(";")[0]

    @property
    def is_esxi(self) -> bool:
        """True for a direct ESXi host."""
        return str(self.content.about.apiType) == "HostAgent"

    def renew(self, seen_generation: int) -> None:
        """Log in, unless another thread has done so since `seen_generation`. Raises Unreachable."""
        with self._lock:
            if self._closed:
                raise Unreachable(f"The connection to {self.host} is closed.")
            if self.generation != seen_generation:
                return
            if self._refused and time.monotonic() < self._refused[0]:
                raise self._refused[1]
            self._login()
            self._refused = None

    def _login(self) -> None:
        self.stub.forget_cookie()
        content: Any = vim.ServiceInstance("ServiceInstance", self.stub).RetrieveContent()
        try:
            login = content.sessionManager.Login(self.settings.user, self.settings.secret(), None)
        except OSError as error:
            raise Unreachable(
                f"The password file {self.settings.password_file} cannot be read: {error.strerror}."
            ) from error
        except (vim.fault.InvalidLogin, vim.fault.NoPermission) as fault:
            refused = Unreachable(
                f"{self.host} does not let {self.settings.user} log in: {sentence(fault)} Check `user` and the "
                "password."
            )
            self._refused = (time.monotonic() + REFUSED_LOGIN_PAUSE_SECONDS, refused)
            raise refused from fault
        except vmodl.MethodFault as fault:  # a vCenter that is starting has no single sign-on for a while
            raise Unreachable(f"{self.host} does not let {self.settings.user} log in now: {sentence(fault)}") from fault
        self._content = content
        self.mark = _mark_of(login.key)
        self.generation += 1
        self.logins += 1
        log.info("logged in to %s (%s) as %s", self.host, content.about.fullName, self.settings.user)

    def end_other(self, mark: str) -> None:
        """End another login, of a process whose place was taken: what it may yet send is refused by the server.

        Raises Unreachable. Where the user may not end sessions, that is logged, and the other's own guard has to do.
        """
        if not mark or mark == self.mark:
            return
        try:
            manager = self.content.sessionManager
            keys = [each.key for each in manager.sessionList if _mark_of(each.key) == mark]
            if keys:
                manager.TerminateSession(keys)
                log.info("ended the session at %s of the process that served it before", self.host)
        except vim.fault.NotFound:
            log.debug("the session at %s of the process that served it before has just ended", self.host)
        except vmodl.MethodFault as fault:
            log.info(
                "the session at %s of the process that served it before could not be ended: %s Give %s the privilege "
                "Sessions.TerminateSession for that.",
                self.host, sentence(fault), self.settings.user,
            )  # fmt: skip

    def open(self, host: str = "", port: int = 0, trust: Trust | None = None, timeout: float = 0) -> Connection:
        """An HTTPS connection for bytes, to this server or, with its own trust, to an ESXi host."""
        return Connection(
            host or self.host, port or self.port, trust=trust or self.trust,
            connect_timeout=self.settings.connect_timeout_seconds, timeout=timeout or self.settings.timeout_seconds,
        )  # fmt: skip

    def unreachable(self, error: Exception) -> Unreachable:
        """The driver's error for a connection that failed."""
        if isinstance(error, Unreachable):
            return error
        why = str(error) or type(error).__name__
        return Unreachable(
            f"{self.host}:{self.port} does not answer: {why}. It is tried again; check the network and the server."
        )

    def close(self) -> None:
        """Log out, as well as can be, and refuse further calls."""
        with self._lock:
            self._closed = True
        try:
            if self._content is not None:
                self._content.sessionManager.Logout()
        except Exception as error:  # noqa: BLE001 - the session ends by itself where the server is gone
            log.debug("logging out of %s failed: %s", self.host, error)
        self.stub.DropConnections()


def _mark_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


class _Stub(SoapStubAdapter):  # type: ignore[misc]
    """pyVmomi's stub, with our trust, our bounds, and the renewal of an ended session."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            host=session.host, port=session.port, version=API_VERSION, poolSize=16,
            connectionPoolTimeout=IDLE_CONNECTION_SECONDS,
        )  # fmt: skip
        self._session = session
        self.scheme = self._connection
        self.schemeArgs: dict[str, Any] = {}

    def _connection(self, host: str, port: int) -> Connection:
        """What pyVmomi opens instead of a connection of its own."""
        return self._session.open(host, port)

    def forget_cookie(self) -> None:
        self.cookie = ""

    def InvokeMethod(self, mo: Any, info: Any, args: Any, outerStub: Any = None) -> Any:  # noqa: N802, N803
        name = info.wsdlName
        if name in _OF_LOGIN:
            return self._send(name, lambda: super(_Stub, self).InvokeMethod(mo, info, args, outerStub))
        generation = self._session.generation
        if generation == 0:
            self._session.renew(0)
            generation = self._session.generation
        try:
            return self._send(name, lambda: super(_Stub, self).InvokeMethod(mo, info, args, outerStub))
        except vim.fault.NotAuthenticated:
            # The call was refused before it did anything, so that it may be made again, whatever it is.
            log.info("the session at %s has ended; logging in again", self._session.host)
            self._session.renew(generation)
            return self._send(name, lambda: super(_Stub, self).InvokeMethod(mo, info, args, outerStub))

    def _send(self, name: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (OSError, http.client.HTTPException) as error:
            # A kept connection that the server closed meanwhile fails at once; a fresh one may serve. Others are told.
            if name not in _REPEATABLE or not isinstance(error, BROKEN):
                raise self._session.unreachable(error) from error
        except Unreachable:
            raise
        try:
            return call()
        except (OSError, http.client.HTTPException) as error:
            raise self._session.unreachable(error) from error
