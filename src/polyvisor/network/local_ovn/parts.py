"""The daemons of a machine that has OVN to itself, and their databases."""

from pathlib import Path

from polyvisor.model.record import Record
from polyvisor.network.local_ovn.command import run
from polyvisor.network.local_ovn.daemon import Daemon, pid
from polyvisor.network.local_ovn.trouble import Trouble

NORTHBOUND_SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")
SOUTHBOUND_SCHEMA = Path("/usr/share/ovn/ovn-sb.ovsschema")
SWITCH_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


class Places(Record):
    """Where the machine's own OVN and Open vSwitch have their sockets."""

    ovn: Path = Path("/run/ovn")
    openvswitch: Path = Path("/run/openvswitch")

    @property
    def northbound(self) -> Path:
        """OVN's northbound database."""
        return self.ovn / "ovnnb_db.sock"

    @property
    def southbound(self) -> Path:
        """OVN's southbound database."""
        return self.ovn / "ovnsb_db.sock"

    @property
    def switch(self) -> Path:
        """Open vSwitch's database, where ovs-vsctl and libvirt look for it."""
        return self.openvswitch / "db.sock"


class Parts(Record):
    """Every daemon that may be ours, with what it needs of `directory`."""

    directory: Path
    places: Places = Places()

    @property
    def northbound(self) -> Path:
        """The socket of our northbound database."""
        return self.directory / "nb.sock"

    @property
    def southbound(self) -> Path:
        """The socket of our southbound database."""
        return self.directory / "sb.sock"

    def central(self) -> tuple[Daemon, ...]:
        """Both databases and northd, in the order in which they start."""
        sides = (f"--ovnnb-db=unix:{self.northbound}", f"--ovnsb-db=unix:{self.southbound}")
        return (
            self._daemon("nb", "ovsdb-server", f"--remote=punix:{self.northbound}", str(self.directory / "nb.db")),
            self._daemon("sb", "ovsdb-server", f"--remote=punix:{self.southbound}", str(self.directory / "sb.db")),
            self._daemon("northd", "ovn-northd", *sides),
        )

    def switch(self) -> tuple[Daemon, ...]:
        """Open vSwitch: its database and the switch itself."""
        managers = "--remote=db:Open_vSwitch,Open_vSwitch,manager_options"
        database = (f"--remote=punix:{self.places.switch}", managers, str(self.directory / "switch.db"))
        return (
            self._of_switch("ovsdb-server", *database),
            self._of_switch("ovs-vswitchd", f"unix:{self.places.switch}"),
        )

    def controller(self) -> Daemon:
        """What programs the switch as OVN wants it."""
        return self._daemon("controller", "ovn-controller", f"unix:{self.places.switch}")

    def machines_controller(self) -> Daemon:
        """The machine's own: only to be asked whether it runs."""
        mine = self.controller()
        return Daemon(
            name=mine.name,
            program=mine.program,
            arguments=(),
            pid_file=self.places.ovn / "ovn-controller.pid",
            log=mine.log,
            run_directory=self.places.ovn,
            openvswitch_directory=self.places.openvswitch,
        )

    def make_databases(self, daemons: tuple[Daemon, ...]) -> None:
        """Make the files of these daemons that are missing, and convert those of an older release. Raises Trouble."""
        schemas = {"nb": NORTHBOUND_SCHEMA, "sb": SOUTHBOUND_SCHEMA, "switch-ovsdb-server": SWITCH_SCHEMA}
        for daemon in daemons:
            if daemon.name in schemas and not pid(daemon):
                _make(Path(daemon.arguments[-1]), schemas[daemon.name])

    def _daemon(self, name: str, program: str, *arguments: str) -> Daemon:
        return Daemon(
            name=name,
            program=program,
            arguments=arguments,
            pid_file=self.directory / f"{name}.pid",
            log=self.directory / f"{name}.log",
            run_directory=self.directory,
            openvswitch_directory=self.places.openvswitch,
        )

    def _of_switch(self, program: str, *arguments: str) -> Daemon:
        """At the standard places, so that ovs-vsctl and ovs-appctl find it without being told."""
        return Daemon(
            name=f"switch-{program}",
            program=program,
            arguments=arguments,
            pid_file=self.places.openvswitch / f"{program}.pid",
            log=self.directory / f"{program}.log",
            run_directory=self.places.openvswitch,
            openvswitch_directory=self.places.openvswitch,
        )


def _make(database: Path, schema: Path) -> None:
    if not schema.exists():
        raise Trouble(f"{schema} is missing: install the packages openvswitch-common and ovn-common.")
    if not database.exists():
        database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        staged = database.with_name(f".{database.name}.new")
        staged.unlink(missing_ok=True)
        run("ovsdb-tool", "create", str(staged), str(schema))
        staged.replace(database)
        staged.with_name(f".{staged.name}.~lock~").unlink(missing_ok=True)
    elif run("ovsdb-tool", "needs-conversion", str(database), str(schema)).strip() == "yes":
        run("ovsdb-tool", "convert", str(database), str(schema))
